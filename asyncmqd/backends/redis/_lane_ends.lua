-- Jobs are taken out of the lanes of one priority. In _lane_pops.lua. What is common to lanes is written
-- once for all of them, see _lane_writes.lua: here are the jobs, what holds their permits, and of each lane
-- its name, its new tag and its key.
local count, ids, permits, number, names, tags, served = 0, {}, {}, 0, {}, {}, {}

-- The first jobs of the lane of a key, whose line has that name. It has that tag from then on.
function lanes.pop(key, name, tag, jobs)
  local found = redis.call('ZPOPMIN', name, jobs)
  for at = 1, #found, 2 do
    count = count + 1
    ids[count], permits[count] = found[at], key .. '\0' .. found[at]
  end
  number = number + 1
  names[number], tags[2 * number - 1], tags[2 * number] = name, tag, key
  return found
end

-- All jobs for which it is the turn of this lane.
function lanes.pop_turns(lane, level, name)
  if lane.key == '' then
    redis.call('ZADD', lanes.name('idle', level), lane.tag, '')
    return lanes.pop_plain(level, lane.served)
  end
  served[#served + 1] = lane
  return lanes.pop(lane.key, name, lane.tag, lane.served)
end
