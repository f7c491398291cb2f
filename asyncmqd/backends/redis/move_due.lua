-- Promote delayed jobs whose time has come, earliest first, and wake one waiting instance.
-- needs: _lines _wake
-- KEYS: the base of the queue
-- ARGV: delayed place, waiting place, page
-- returns: how many were moved
local delayed, scores = base .. ARGV[1], {}
local due = redis.call('ZRANGEBYSCORE', delayed, '-inf', clock(), 'LIMIT', 0, ARGV[3])
if #due == 0 then
  return 0
end
for number, id in ipairs(due) do
  scores[2 * number - 1], scores[2 * number] = tail(id), id
end
redis.call('ZREM', delayed, unpack(due))
redis.call('ZADD', base .. ARGV[2], unpack(scores))
wake()
return #due
