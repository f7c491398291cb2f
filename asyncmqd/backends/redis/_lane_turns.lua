-- Whose turn it is among the lanes of a priority: what domain/lanes.py decides, told again.
if lanes then
  -- The lanes of a level whose turn is next, `tags` of them at first; keys that are used up are closed.
  local function first_lanes(level, limit, tags)
    local number, known, found, closed = limit, {}, {}, false
    repeat
      found, closed, tags = {}, false, tags or lanes.read_turns(level, number)
      for at = 1, #tags, 2 do
        local key = tags[at]
        local lane = {key = key, tag = tonumber(tags[at + 1]), served = 0, left = math.huge}
        if lanes.are_limited then
          known[key] = known[key] or {lanes.allowed_of(key, level, limit)}
          lane.left, lane.costs = unpack(known[key])
          closed = lanes.close_unless_allowed(key, lane.left, lane.costs and lane.costs[1]) or closed
        end
        found[#found + 1] = lane
      end
      number, tags = 2 * number, nil -- of those that are left: a reload may have used up thousands at once
    until not closed
    return found
  end

  -- These, those without a key among them if `plain` of them wait.
  local function candidates(level, limit, plain, tags)
    local found = first_lanes(level, limit, tags)
    if plain > 0 then
      lanes.insert(found, {key = '', tag = lanes.start_tag('', level), served = 0, left = plain})
    end
    return found
  end

  -- The lane of each start.
  function lanes.take_turns(level, limit, plain, tags)
    local first, again, turns = candidates(level, limit, plain, tags), {}, {}
    local reached = lanes.virtual_time(level)
    local lane, at = lanes.next_of(first, 1, again)
    while lane and #turns < limit do
      if lane.served == 1 and lane.key ~= '' then -- that it has one is known, for it is ready
        lane.left = math.min(lane.left, redis.call('ZCARD', lanes.of(lane.key, level)))
      end
      if lane.left > lane.served then
        if not lanes.pays(lane, level, limit) then
          break
        end
        reached = math.max(reached, lane.tag)
        lane.served, lane.tag, turns[#turns + 1] = lane.served + 1, lane.tag + lanes.step(lane.key), lane
        lanes.come_again(first, at, again, lane, limit - #turns)
      end
      lane, at = lanes.next_of(first, at, again)
    end
    redis.call('HSET', base .. 'reached', level, reached)
    return turns
  end
end
