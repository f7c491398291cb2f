-- Add one job that may start at once, and claim it for a worker that waits, or wake one: what add.lua does, with fewer
-- commands and functions, for most enqueues add a job like this. What a claim needs is made only where somebody waits.
-- needs: _base _wake
-- KEYS: as add.lua
-- ARGV: name of the queue, then of the job: id, priority (3 digits), payload
-- returns: as add.lua
if #KEYS == 3 then
  redis.call('SADD', KEYS[2], ARGV[1])
end
local id, priority, time = ARGV[2], ARGV[3], redis.call('TIME')
local added = time[1] .. string.sub('00000' .. time[2], -6)
if redis.call('SETNX', base .. 'job:' .. id, added .. priority .. ARGV[4]) == 0 then
  return {0, ''}
end
redis.call('ZADD', base .. WAITING, priority * 2 ^ 44 + redis.call('INCR', base .. 'seq'), id)
local channel = redis.call('SRANDMEMBER', base .. 'waiters')
if channel then
  -- with: _clock _first_run _assign
  if not assign(channel) then
    wake()
  end
end
return {1, unheard}
