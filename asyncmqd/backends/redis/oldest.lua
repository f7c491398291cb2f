-- For how long the oldest jobs of queues have waited, of those that run next in their priority.
-- needs: _parked _queue_sizes
-- KEYS: the bases of queues (of one slot, in a cluster)
-- ARGV: in how many priorities it is looked for
-- returns: of each queue the microseconds
local now, reply = clock(), {}
for number = 1, #KEYS - 1 do
  base = KEYS[number]
  reply[number] = now - oldest('keyed', oldest(WAITING, now, ARGV[1]), ARGV[1])
end
return reply
