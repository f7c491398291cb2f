-- Read the entries behind a position.
-- needs:
-- KEYS: as of watch.lua
-- ARGV: epoch and number of the position, how many entries
-- returns: nothing if nobody watches; else epoch, number of the newest event, the entries
local epoch, number = unpack(redis.call('HMGET', KEYS[1], 'epoch', 'number'))
if not epoch then
  return {}
end
local begin = epoch == ARGV[1] and math.min(tonumber(ARGV[2]), tonumber(number)) or 0
local first = string.format('%d-0', begin + 1)
return {epoch, number, redis.call('XRANGE', KEYS[2], first, '+', 'COUNT', ARGV[3])}
