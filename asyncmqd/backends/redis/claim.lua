-- Take waiting jobs, each with the next token and a lease. An instance that gets fewer than it asked
-- for is one to wake later; one that is full is not, and passes on what it leaves behind.
-- needs: _claims _wake
-- KEYS: the base of the queue
-- ARGV: waiting place, active place, limit, lease (microseconds), worker, channel of the instance
--       (empty if it does not listen)
-- returns: now, then the claims
local now, limit, worker, channel = clock(), tonumber(ARGV[3]), ARGV[5], ARGV[6]
local reply, ends = {now}, {}
if redis.call('EXISTS', base .. 'paused') == 0 then
  local popped = redis.call('ZPOPMIN', base .. ARGV[1], limit)
  for at = 1, #popped, 2 do
    local claim = claim_of(popped[at])
    claim[2], claim[6] = claim[2] + 1, worker
    redis.call('HSET', base .. 'run:' .. claim[1], 'token', claim[2], 'order', popped[at + 1],
      'worker', worker, 'started', now)
    ends[at], ends[at + 1] = now + ARGV[4] + #reply, claim[1]
    reply[#reply + 1] = claim
  end
end
if #ends > 0 then
  redis.call('ZADD', base .. ARGV[2], unpack(ends))
end
if #reply <= limit then
  if channel ~= '' then
    redis.call('SADD', base .. 'waiters', channel)
  end
  return reply
end
redis.call('SREM', base .. 'waiters', channel)
if redis.call('EXISTS', base .. ARGV[1]) == 1 then
  wake()
end
return reply
