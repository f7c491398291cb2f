-- What queues have in store.
-- needs: _parked
-- KEYS: the bases of queues (of one slot, in a cluster)
-- ARGV: waiting place, delayed place, active place
-- returns: now, then of each queue: how many may be claimed, the first due time, the first lease's
--          end, the places that hold parked jobs, what its pause is (false: none), the limits of all
--          daemons, packed (false: none), how many ghosts hold a permit, when the bucket of
--          their rate would be full again, since when it owes for a dear job, of how many keys no job may start, the first end of a
--          lease of ghosts that jobs have to wait for
local function first(place)
  return redis.call('ZRANGE', base .. place, 0, 0, 'WITHSCORES')[2] or false
end

local reply = {clock()}
for number = 1, #KEYS - 1 do
  base = KEYS[number]
  local keys = {base .. 'paused', base .. 'limits', base .. 'arrival', base .. 'owes:'}
  local paused, limits, arrival, owes_since = unpack(redis.call('MGET', unpack(keys)))
  reply[#reply + 1] = {
    paused and 0 or redis.call('ZCARD', base .. ARGV[1]) + redis.call('ZCARD', base .. 'keyed'), first(ARGV[2]), first(ARGV[3]),
    with_parked({}), paused, limits,
    limits and redis.call('ZCOUNT', base .. 'ghosts', string.format('(%.0f', reply[1]), '+inf') or 0,
    arrival or '0', owes_since or '0', redis.call('ZCARD', base .. 'closed'), first('awaited')}
end
return reply
