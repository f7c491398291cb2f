-- A queue has no operation under way any more, if none was begun since.
-- needs:
-- KEYS: the hash of the queues that may have one
-- ARGV: queue, what stood there before its operations were read
if redis.call('HGET', KEYS[1], ARGV[1]) == ARGV[2] then
  redis.call('HDEL', KEYS[1], ARGV[1])
end
