-- Carry an operation.
-- needs: _operations
-- KEYS: the base of the queue
-- ARGV: id, carrier, lease (microseconds), a carrier who is gone (may be empty)
-- returns: the operation, see `read_operation`; false if it has ended, or another carries it
if not is_under_way(ARGV[1]) then
  return false
end
local now, key = clock(), operation_key(ARGV[1])
local carrier, until_when = unpack(redis.call('HMGET', key, 'carrier', 'until'))
local held = now < tonumber(until_when) and tonumber(until_when) <= now + ARGV[3]
if held and carrier ~= ARGV[2] and (ARGV[4] == '' or carrier ~= ARGV[4]) then
  return false
end
redis.call('HINCRBY', key, 'token', 1)
redis.call('HSET', key, 'carrier', ARGV[2], 'until', string.format('%.0f', now + ARGV[3]))
return read_operation(ARGV[1])
