-- Add events, if somebody watches. All of a call are one entry of the stream: one for each would
-- cost as much as what they tell of.
-- needs:
-- KEYS: as of watch.lua
-- ARGV: how many events there are, how many are kept, the events, one a line
-- returns: 1, or 0 if nobody watches
-- An entry has the number of its last event.
if redis.call('EXISTS', KEYS[1]) == 0 then
  return 0
end
local number = redis.call('HINCRBY', KEYS[1], 'number', ARGV[1])
local oldest = math.max(0, number - ARGV[2] + 1)
redis.call('XADD', KEYS[2], 'MINID', string.format('%d', oldest), string.format('%d-0', number), 'e', ARGV[3])
redis.call('PEXPIRE', KEYS[2], redis.call('PTTL', KEYS[1]))
return 1
