-- Wake this instance no more. A wake-up that is on its way to it by now would be lost, and it may be the
-- only one that knows when time opens a key: if work waits, another instance is woken.
-- needs: _wake
-- KEYS: the base of the queue
-- ARGV: waiting place, channel of the instance
redis.call('SREM', base .. 'waiters', ARGV[2])
redis.call('HDEL', base .. 'offers', ARGV[2])
redis.call('SREM', base .. 'held_back', ARGV[2])
if redis.call('EXISTS', base .. ARGV[1], base .. 'levels', base .. 'closed') > 0 then
  wake()
end
