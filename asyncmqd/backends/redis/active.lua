-- A page of the active jobs, by the end of their leases.
-- needs: _runs _claims
-- KEYS: the base of the queue
-- ARGV: active place, from which end on, until which end ('now' for those that have ended), page,
--       the most bytes of a job's string to return, and how many of each are read (empty: all)
-- returns: now, the last end, and if there are any the claims (see `columns`)
local now = clock()
local till = ARGV[3] == 'now' and now or ARGV[3]
local found = redis.call(
  'ZRANGEBYSCORE', base .. ARGV[1], ARGV[2], till, 'WITHSCORES', 'LIMIT', 0, ARGV[4])
local ids = {}
for at = 1, #found, 2 do
  ids[#ids + 1] = found[at]
end
local reply = {now, found[#found] or false}
if #ids > 0 then
  columns(reply, ids, redis.call('HMGET', base .. 'runs', unpack(ids)), read_jobs(ids, tonumber(ARGV[6])),
    tonumber(ARGV[5]))
end
return reply
