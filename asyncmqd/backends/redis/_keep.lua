-- How long ended jobs are kept, and the end of them.

-- The bytes of payload, result and error.
local function size(id)
  local left = redis.call('HMGET', base .. 'run:' .. id, 'result', 'error')
  local payload = redis.call('STRLEN', base .. 'job:' .. id) - 19
  return math.max(payload, 0) + #(left[1] or '') + #(left[2] or '')
end

-- The job has ended: it is kept until `till`, or by number if that is nil.
local function keep(id, ended, till)
  redis.call('ZADD', base .. (till and 'expiry' or 'counted'), till or ended, id)
  redis.call('INCRBY', base .. 'bytes', size(id))
end

-- The job is no ended one any more. Asking both lines spares the callers from knowing.
local function unkeep(id)
  if redis.call('ZREM', base .. 'counted', id) + redis.call('ZREM', base .. 'expiry', id) > 0 then
    redis.call('DECRBY', base .. 'bytes', size(id))
  end
end

local function delete(id, place)
  redis.call('ZREM', base .. place, id)
  unkeep(id)
  redis.call('DEL', base .. 'job:' .. id, base .. 'run:' .. id)
end
