-- A page of the active jobs, by the end of their leases.
-- needs: _claims
-- KEYS: the base of the queue
-- ARGV: active place, from which end on, until which end ('now' for those that have ended), page
-- returns: now, the last end, then the claims
local now = clock()
local till = ARGV[3] == 'now' and now or ARGV[3]
local ids = redis.call(
  'ZRANGEBYSCORE', base .. ARGV[1], ARGV[2], till, 'WITHSCORES', 'LIMIT', 0, ARGV[4])
local reply = {now, ids[#ids] or false}
for at = 1, #ids, 2 do
  reply[#reply + 1] = claim_of(ids[at])
end
return reply
