-- Jobs are taken out of the lanes of one priority. In _lane_pops.lua. What is common to lanes is written
-- once for all of them.
local ids, held, served, names = {}, {}, {}, {}

-- All jobs for which it is the turn of this lane, whose line has that name.
function lanes.pop(lane, level, name)
  if lane.key == '' then
    redis.call('ZADD', lanes.name('idle', level), lane.tag, '')
    return lanes.pop_plain(level, lane.served)
  end
  local found = redis.call('ZPOPMIN', name, lane.served)
  for at = 1, #found, 2 do
    ids[#ids + 1] = found[at]
    held[#held + 1], held[#held + 2] = 0, lane.key .. '\0' .. found[at]
  end
  served[#served + 1], names[#names + 1] = lane, name
  return found
end

-- The lanes that have jobs take turns, the others do not. Mostly all have some, or none has.
local function go_on(level)
  local alike, ready, emptied, tags = redis.call('EXISTS', unpack(names)), {}, {}, {}
  for number, lane in ipairs(served) do
    lane.waits = alike == #names or alike > 0 and redis.call('EXISTS', names[number]) == 1
    if lane.waits then
      ready[#ready + 1], ready[#ready + 2] = lane.tag, lane.key
    else
      emptied[#emptied + 1], tags[#tags + 1] = lane.key, lane.tag
    end
  end
  if #ready > 0 then
    redis.call('ZADD', lanes.name('ready', level), unpack(ready))
  end
  if #emptied > 0 then
    lanes.deactivate(level, emptied, tags)
  end
end

-- What all these lanes have in common is as their jobs say.
function lanes.write_pops(level)
  if #ids > 0 then
    redis.call('ZREM', base .. 'keyed', unpack(ids))
    redis.call('ZADD', base .. 'held', unpack(held))
    go_on(level)
  end
  for _, lane in ipairs(lanes.are_limited and served or {}) do
    lanes.charge(lane.key, lane.tokens or lane.served, lane.waits)
  end
  ids, held, served, names = {}, {}, {}, {}
end
