-- Bring back the jobs that waited for ghosts whose leases have ended, and wake one waiting instance.
-- needs: _runs _lanes _lines _lane_moves _laned _key_permits _parked _wake _names _dependencies _awaited
-- KEYS: the base of the queue
-- ARGV: how long the other leases last from now on, at most (microseconds)
-- returns: how many ghosts there were
local now, ended = clock(), 0
for _, name in ipairs(redis.call('ZRANGE', base .. 'awaited', 0, -1)) do
  redis.call('ZADD', base .. 'awaited', 'LT', now + ARGV[1], name)
end
for _, name in ipairs(redis.call('ZRANGEBYSCORE', base .. 'awaited', '-inf', now)) do
  edges.end_ghost(name)
  ended = ended + 1
end
if lanes then
  lanes.forget_idle()
end
if ended > 0 then
  wake()
end
return ended
