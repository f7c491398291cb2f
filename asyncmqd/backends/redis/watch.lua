-- Have daemons tell events for a time. If nobody watched until now, an epoch begins.
-- needs:
-- KEYS: the hash of the epoch, the stream of its events; both end together
-- ARGV: for how long (milliseconds)
-- returns: epoch, number of the newest event, whether the epoch begins (0, 1)
local epoch, number = unpack(redis.call('HMGET', KEYS[1], 'epoch', 'number'))
local begins = not epoch
if begins then
  epoch, number = string.format('%d', clock()), '0'
  redis.call('DEL', KEYS[2])
  redis.call('HSET', KEYS[1], 'epoch', epoch, 'number', number)
end
if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[1]) then
  redis.call('PEXPIRE', KEYS[1], ARGV[1])
  redis.call('PEXPIRE', KEYS[2], ARGV[1])
end
return {epoch, number, begins and 1 or 0}
