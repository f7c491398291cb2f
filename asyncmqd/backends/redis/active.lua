-- A page of the active jobs, by the end of their leases.
-- needs: _runs _claims
-- KEYS: the base of the queue
-- ARGV: active place, from which end on, until which end ('now' for those that have ended), page,
--       the most bytes of a job's string to return
-- returns: now, the claims (id, run, string of the job), the last end
local now = clock()
local till = ARGV[3] == 'now' and now or ARGV[3]
local found = redis.call(
  'ZRANGEBYSCORE', base .. ARGV[1], ARGV[2], till, 'WITHSCORES', 'LIMIT', 0, ARGV[4])
local ids = {}
for at = 1, #found, 2 do
  ids[#ids + 1] = found[at]
end
local runs = #ids > 0 and redis.call('HMGET', base .. 'runs', unpack(ids))
local claims = {}
for number, job in ipairs(read_jobs(ids)) do
  claims[number] = {ids[number], runs[number], cut(job, tonumber(ARGV[5]))}
end
return {now, claims, found[#found]}
