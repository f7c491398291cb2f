-- Bring back the jobs that waited for ghosts whose leases have ended, and wake one waiting instance. Permits
-- that are kept by ghosts are bounded too.
-- needs: _runs _lanes _lines _lane_moves _laned _key_permits _parked _wake _names _dependencies _awaited
-- KEYS: the base of the queue
-- ARGV: how long the other leases last from now on, at most (microseconds)
-- returns: how many ghosts there were
local now, ended = clock(), 0
local latest = string.format('%.0f', now + ARGV[1])
local late = redis.call('ZRANGEBYSCORE', base .. 'ghosts', '(' .. latest, '+inf')
for _, member in ipairs(late) do
  redis.call('ZADD', base .. 'ghosts', latest, member)
  local key = redis.call('HGET', base .. 'ghost_keys', member)
  if key then
    redis.call('ZADD', base .. 'closed', 'XX', 'LT', latest, key)
  end
end
for _, name in ipairs(redis.call('ZRANGE', base .. 'awaited', 0, -1)) do
  redis.call('ZADD', base .. 'awaited', 'LT', latest, name)
end
for _, name in ipairs(redis.call('ZRANGEBYSCORE', base .. 'awaited', '-inf', now)) do
  edges.end_ghost(name)
  ended = ended + 1
end
if lanes then
  lanes.forget_idle()
end
if ended > 0 or #late > 0 then
  wake()
end
return ended
