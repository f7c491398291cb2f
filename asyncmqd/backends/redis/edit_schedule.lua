-- Pause, resume or forget a schedule.
-- needs:
-- KEYS: the base of the queue
-- ARGV: name, action (pause, resume, remove)
-- returns: 1, or 0 if there is none of that name
local key = base .. 'schedule:' .. ARGV[1]
if redis.call('EXISTS', key) == 0 then
  return 0
end
if ARGV[2] == 'pause' then
  redis.call('HSET', key, 'paused', 1)
elseif ARGV[2] == 'resume' then
  redis.call('HDEL', key, 'paused')
else
  redis.call('DEL', key)
  redis.call('SREM', base .. 'schedules', ARGV[1])
end
return 1
