-- Have limits hold over all daemons. All waiting instances learn of it.
-- needs: _bucket _limits _wake
-- KEYS: the base of the queue
-- ARGV: by whom, the limits, packed
-- returns: the declaration that is in force, packed, or false
local stored = redis.call('GET', base .. 'limits')
local known = stored and cmsgpack.unpack(stored)
if not known and not next(cmsgpack.unpack(ARGV[2])) then
  return false
end

local same = cmsgpack.pack('limits') .. ARGV[2]
if stored and stored:sub(-#same) == same then
  return stored
end
local limits, declared = limits_of_all(), known or {since = 0}
declared.since, declared.by = math.max(clock() / 1000000, declared.since + 0.000001), ARGV[1]
local packed = limits.packed(declared, same)
redis.call('SET', base .. 'limits', packed)
bucket_of(cmsgpack.unpack(packed)).take(0)
limits.open_gate()
redis.call('ZUNIONSTORE', base .. 'closed', 1, base .. 'closed', 'WEIGHTS', 0) -- all are due
wake(true)
return packed
