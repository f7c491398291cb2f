-- How many jobs are in each place.
-- needs: _shelves
-- KEYS: the base of the queue
-- ARGV: the places
-- returns: whether the queue is paused (0, 1), how many jobs are shelved, then the size of each place
local shelved = 0
for _, shelf in ipairs(with_shelves({})) do
  shelved = shelved + redis.call('ZCARD', base .. shelf)
end
local reply = {redis.call('EXISTS', base .. 'paused'), shelved}
for _, place in ipairs(ARGV) do
  reply[#reply + 1] = redis.call('ZCARD', base .. place)
end
return reply
