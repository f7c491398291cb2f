-- Bring shelved jobs back to where they stood, and wake one waiting instance.
-- needs: _wake
-- KEYS: the base of the queue
-- ARGV: waiting place, page, then the shelves, by name
-- returns: how many were moved
local left = tonumber(ARGV[2])
for number = 3, #ARGV do
  local shelf, back = base .. ARGV[number], {}
  local found = redis.call('ZRANGE', shelf, 0, left - 1, 'WITHSCORES')
  for at = 1, left > 0 and #found or 0, 2 do
    back[at], back[at + 1] = found[at + 1], found[at]
    redis.call('ZREM', shelf, found[at])
  end
  if #back > 0 then
    redis.call('ZADD', base .. ARGV[1], unpack(back))
    left = left - #back / 2
  end
end
if left < tonumber(ARGV[2]) then
  wake()
end
return ARGV[2] - left
