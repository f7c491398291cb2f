-- Whose turn it is among the lanes of a priority: what domain/lanes.py decides, told again.
if lanes then
  local SERVICE = 1000

  -- The lanes of a level whose turn is next, those without a key among them if `plain` of them wait.
  local function candidates(level, limit, plain)
    local ready, found = lanes.name('ready', level), {}
    local tags = redis.call('ZRANGE', ready, 0, limit - 1, 'WITHSCORES')
    for at = 1, #tags, 2 do
      found[#found + 1] = {key = tags[at], tag = tonumber(tags[at + 1]), served = 0}
    end
    if plain > 0 then
      lanes.insert(found, {key = '', tag = lanes.start_tag('', level), served = 0, left = plain})
    end
    return found
  end

  -- The lane of each start.
  function lanes.take_turns(level, limit, plain)
    local heap, turns = candidates(level, limit, plain), {}
    local reached = lanes.virtual_time(level)
    while #turns < limit and heap[1] do
      local lane = heap[1]
      lane.left = lane.left or redis.call('ZCARD', lanes.of(lane.key, level))
      if lane.left == lane.served then
        lanes.drop_first(heap)
      else
        reached = math.max(reached, lane.tag)
        lane.served, lane.tag, turns[#turns + 1] = lane.served + 1, lane.tag + SERVICE, lane
        lanes.sift(heap)
      end
    end
    redis.call('HSET', base .. 'reached', level, reached)
    return turns
  end
end
