-- Note what happened to a process, unless there is a mark of that id.
-- needs:
-- KEYS: the hash of the marks
-- ARGV: id, mark, how many are kept, for how long (microseconds)
-- A value is: when it was noted (16 digits, microseconds), the mark.
local now = clock()
if redis.call('HSETNX', KEYS[1], ARGV[1], string.format('%016d', now) .. ARGV[2]) == 0 then
  return
end
local all, alike, times = redis.call('HGETALL', KEYS[1]), {}, {}
for at = 1, #all, 2 do
  local id, time = all[at], tonumber(all[at + 1]:sub(1, 16))
  if time <= now - ARGV[4] then
    redis.call('HDEL', KEYS[1], id)
  else
    local kind = id:match('^[^ ]*')
    times[#times + 1], alike[kind] = {id, time, kind}, (alike[kind] or 0) + 1
  end
end
-- `first_to_go` of domain/marks.py.
local function goes_before(one, other)
  local more = alike[one[3]] - alike[other[3]]
  return more > 0 or more == 0 and (one[2] < other[2] or one[2] == other[2] and one[1] < other[1])
end
if #times > tonumber(ARGV[3]) then
  table.sort(times, goes_before)
  redis.call('HDEL', KEYS[1], times[1][1])
end
