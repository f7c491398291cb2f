-- Note an operation, and forget old ones that have ended.
-- needs: _operations
-- KEYS: the base of the queue
-- ARGV: id, order, its carrier (may be empty), lease (microseconds), how long records are kept (microseconds), how
--       many of them
-- returns: the operation, see `read_operation`
local now, key = clock(), operation_key(ARGV[1])
if redis.call('EXISTS', key) == 0 then
  local until_when = ARGV[3] == '' and 0 or now + ARGV[4]
  redis.call('HSET', key, 'order', ARGV[2], 'begun', string.format('%.0f', now), 'token', ARGV[3] == '' and 0 or 1,
    'carrier', ARGV[3], 'until', string.format('%.0f', until_when))
  redis.call('ZADD', base .. 'operations', now, ARGV[1])
  local size = redis.call('ZCARD', base .. 'operations')
  for number, id in ipairs(redis.call('ZRANGE', base .. 'operations', 0, 99)) do
    local began = tonumber(redis.call('HGET', operation_key(id), 'begun') or 0)
    if began >= now - ARGV[5] and size <= tonumber(ARGV[6]) then
      break
    elseif not is_under_way(id) then
      redis.call('DEL', operation_key(id))
      redis.call('ZREM', base .. 'operations', id)
      size = size - 1
    end
  end
end
return read_operation(ARGV[1])
