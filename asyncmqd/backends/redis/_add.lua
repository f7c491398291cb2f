-- File a new job behind the others of its priority, or with a delay (microseconds) among the
-- delayed ones. False, and nothing is changed, if the queue has its id. `priority` has 3 digits.
local function add(now, waiting, delayed, id, priority, delay, payload)
  local job = string.format('%016d', now) .. priority .. payload
  if redis.call('SETNX', base .. 'job:' .. id, job) == 0 then
    return false
  end
  local number = redis.call('INCR', base .. 'seq')
  if delay > 0 then
    redis.call('ZADD', base .. delayed, now + delay, id)
  else
    redis.call('ZADD', base .. waiting, priority * 2 ^ 44 + number, id)
  end
  return true
end
