-- Pause, resume or forget a schedule.
-- needs:
-- KEYS: the base of the queue
-- ARGV: name, action (pause, resume, remove), how many instants a pause that ends has skipped, up to when
--       these were counted, in seconds (empty: until now)
-- returns: 1, or 0 if there is none of that name
local key = base .. 'schedule:' .. ARGV[1]
if redis.call('EXISTS', key) == 0 then
  return 0
end
if ARGV[2] == 'pause' then
  redis.call('HSET', key, 'paused', 1)
elseif ARGV[2] == 'resume' then
  if redis.call('HDEL', key, 'paused') == 1 then
    local now = clock() / 1000000
    now = math.min(now, tonumber(ARGV[4]) or now)
    if tonumber(redis.call('HGET', key, 'last')) < now then
      redis.call('HSET', key, 'last', now)
    end
    if ARGV[3] ~= '0' then
      redis.call('HSET', key, 'skipped', now, 'reason', 'paused')
      redis.call('HINCRBY', key, 'n:paused', ARGV[3])
    end
  end
else
  redis.call('DEL', key)
  redis.call('SREM', base .. 'schedules', ARGV[1])
end
return 1
