-- Register a process, or say that it lives, and drop those that have been silent for too long.
-- needs:
-- KEYS: the hash of the processes
-- ARGV: id, how long it is listed (microseconds), info
-- A value is: started, seen, listed until (16 digits each, microseconds), info.
local now, known = clock(), redis.call('HGET', KEYS[1], ARGV[1])
local started = known and known:sub(1, 16) or string.format('%016d', now)
local times = string.format('%016d%016d', now, now + ARGV[2])
redis.call('HSET', KEYS[1], ARGV[1], started .. times .. ARGV[3])
local all = redis.call('HGETALL', KEYS[1])
for at = 1, #all, 2 do
  if tonumber(all[at + 1]:sub(33, 48)) <= now then
    redis.call('HDEL', KEYS[1], all[at])
  end
end
