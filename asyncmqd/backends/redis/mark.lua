-- Note what happened to a process, unless there is a mark of that id.
-- needs:
-- KEYS: the hash of the marks
-- ARGV: id, mark, how many are kept, for how long (microseconds)
-- A value is: when it was noted (16 digits, microseconds), the mark.
local now = clock()
if redis.call('HSETNX', KEYS[1], ARGV[1], string.format('%016d', now) .. ARGV[2]) == 0 then
  return
end
local all, times = redis.call('HGETALL', KEYS[1]), {}
for at = 1, #all, 2 do
  times[#times + 1] = tonumber(all[at + 1]:sub(1, 16))
end
table.sort(times)
local oldest = math.max(now - ARGV[4] + 1, times[#times - ARGV[3] + 1] or 0)
for at = 1, #all, 2 do
  if tonumber(all[at + 1]:sub(1, 16)) < oldest then
    redis.call('HDEL', KEYS[1], all[at])
  end
end
