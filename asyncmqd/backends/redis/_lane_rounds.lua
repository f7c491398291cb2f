-- Rounds: where there are more keys than a claim takes jobs, each of the next lanes mostly has one turn. What
-- _lane_turns.lua would decide is known then, and costs no table for each lane.
if lanes then
  -- The lanes of a level whose turn is next: key, tag, key, tag, ...
  function lanes.read_turns(level, number)
    return redis.call('ZRANGE', lanes.name('ready', level), 0, number - 1, 'WITHSCORES')
  end

  -- What decides where it is no round: the functions are made when they are asked for.
  function lanes.know_turns()
    if not lanes.take_turns then
      -- with: _lane_order _lane_costs _lane_turns
    end
  end

  -- Whether so many starts are one of each of these lanes: nothing holds one back, and the first one comes
  -- again behind the last.
  function lanes.is_round(turns, limit)
    return not lanes.are_limited and not lanes.purse and #turns == 2 * limit
      and turns[2] + lanes.step() > tonumber(turns[#turns])
  end

  -- The first job of each.
  function lanes.take_round(all, level, turns)
    local line, step, count = lanes.of('', level), lanes.step(), #all
    for at = 1, #turns, 2 do
      local found = lanes.pop(turns[at], line .. turns[at], turns[at + 1] + step, 1)
      all[count + 1], all[count + 2] = found[1], found[2]
      count = count + #found
    end
    local reached = math.max(lanes.virtual_time(level), tonumber(turns[#turns]))
    redis.call('HSET', base .. 'reached', level, reached)
  end
end
