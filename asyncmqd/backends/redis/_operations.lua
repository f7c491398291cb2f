-- Operations, see contract/operations.py. `operation:<id>` is a hash, `operations` the sorted set of their ids
-- by the time at which they began.
local OPERATION = {'order', 'progress', 'moved', 'begun', 'token', 'carrier', 'until', 'ended', 'outcome', 'ended_by'}

local function operation_key(id)
  return base .. 'operation:' .. id
end

-- The id and all fields, false for those that were never written.
local function read_operation(id)
  local fields = redis.call('HMGET', operation_key(id), unpack(OPERATION))
  table.insert(fields, 1, id)
  return fields
end

-- Whether there is one, and it has not ended.
local function is_under_way(id)
  local order, ended = unpack(redis.call('HMGET', operation_key(id), 'order', 'ended'))
  return order and not ended
end

local function end_operation(id, outcome, by)
  redis.call('HSET', operation_key(id), 'ended', string.format('%.0f', clock()), 'outcome', outcome, 'ended_by', by)
end
