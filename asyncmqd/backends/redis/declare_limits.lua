-- Have limits hold over all daemons. All waiting instances learn of it.
-- needs: _bucket _limits _wake
-- KEYS: the base of the queue
-- ARGV: by whom, the limits, packed
-- returns: the declaration that is in force, packed, or false
local stored, limits = redis.call('GET', base .. 'limits'), cmsgpack.unpack(ARGV[2])
local known = stored and cmsgpack.unpack(stored)
if not known and not next(limits) then
  return false
end

local same = cmsgpack.pack('limits') .. ARGV[2]
if stored and stored:sub(-#same) == same then
  return stored
end
local since = clock() / 1000000
if known then
  since = math.max(since, known.since + 0.000001)
end
-- Not as a table: an empty one of Lua would be packed as an array.
local packed = string.char(0x83) .. cmsgpack.pack('since', since, 'by', ARGV[1], 'limits') .. ARGV[2]
redis.call('SET', base .. 'limits', packed)
bucket_of(cmsgpack.unpack(packed)).take(0)
limits_of_all().open_gate()
redis.call('ZUNIONSTORE', base .. 'closed', 1, base .. 'closed', 'WEIGHTS', 0) -- all are due
wake(true)
return packed
