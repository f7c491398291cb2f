-- Take waiting jobs, each with the next token and a lease. An instance that gets fewer than it asked
-- for is one to wake later; one that is full is not, and passes on what it leaves behind.
-- needs: _runs _wake
-- KEYS: the base of the queue
-- ARGV: waiting place, active place, limit, lease (microseconds), worker, channel of the instance
--       (empty if it does not listen), the most bytes of a job's string to return
-- returns: now, then the claims: id, run, string of the job
local now, limit, worker, channel = clock(), tonumber(ARGV[3]), ARGV[5], ARGV[6]
local paused = redis.call('EXISTS', base .. 'paused') == 1
local popped = paused and {} or redis.call('ZPOPMIN', base .. ARGV[1], limit)
local ids, ends, packed = {}, {}, {}
for at = 1, #popped, 2 do
  ids[#ids + 1], ends[at], ends[at + 1] = popped[at], now + ARGV[4] + at, popped[at]
end
local claims = read_claims(ids, read_runs(ids))
for number, claim in ipairs(claims) do
  local run = claim[2] or new_run(#(claim[3] or '') - 19)
  run[TOKEN], run[ORDER] = run[TOKEN] + 1, tonumber(popped[2 * number])
  run[STARTED], run[WORKER] = now, worker
  claim[2], claim[3] = cmsgpack.pack(run), cut(claim[3], ARGV[7])
  packed[2 * number - 1], packed[2 * number] = claim[1], claim[2]
end
if #ids > 0 then
  redis.call('HSET', base .. 'runs', unpack(packed))
  redis.call('ZADD', base .. ARGV[2], unpack(ends))
end
if #ids == limit then
  redis.call('SREM', base .. 'waiters', channel)
  if redis.call('EXISTS', base .. ARGV[1]) == 1 then
    wake()
  end
elseif channel ~= '' then
  redis.call('SADD', base .. 'waiters', channel)
end
return {now, claims}
