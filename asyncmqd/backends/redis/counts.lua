-- How many jobs are in each place.
-- needs: _parked
-- KEYS: the base of the queue
-- ARGV: the places
-- returns: whether the queue is paused (0, 1), how many jobs are parked, how many that have a key wait,
--          then the size of each place
local parked = 0
for _, place in ipairs(with_parked({})) do
  parked = parked + redis.call('ZCARD', base .. place)
end
local reply = {redis.call('EXISTS', base .. 'paused'), parked, redis.call('ZCARD', base .. 'keyed')}
for _, place in ipairs(ARGV) do
  reply[#reply + 1] = redis.call('ZCARD', base .. place)
end
return reply
