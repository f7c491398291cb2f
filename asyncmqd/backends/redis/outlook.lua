-- What queues have in store.
-- needs:
-- KEYS: the bases of queues (of one slot, in a cluster)
-- ARGV: waiting place, delayed place, active place
-- returns: now, then of each queue: how many may be claimed, the first due time, the first lease's end
local function first(line)
  return redis.call('ZRANGE', line, 0, 0, 'WITHSCORES')[2] or false
end

local reply = {clock()}
for _, queue in ipairs(KEYS) do
  local paused = redis.call('EXISTS', queue .. 'paused') == 1
  reply[#reply + 1] = {
    paused and 0 or redis.call('ZCARD', queue .. ARGV[1]),
    first(queue .. ARGV[2]), first(queue .. ARGV[3])}
end
return reply
