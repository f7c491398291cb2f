-- A new job takes its name. This stands apart from _names.lua, since a turn needs none of it.

-- A page of the names whose time is over: who takes one for a time pays for that.
local function forget_overdue_names()
  local over = redis.call('ZRANGEBYSCORE', base .. 'reserved', '-inf', clock(), 'LIMIT', 0, 10)
  for _, name in ipairs(over) do
    redis.call('ZREM', base .. 'reserved', name)
    local id = redis.call('HGET', base .. 'names', name)
    if id and redis.call('EXISTS', base .. 'job:' .. id) == 0 then
      redis.call('HDEL', base .. 'names', name)
    end
  end
end

-- Give a new job its name. `time`: for so many microseconds it is taken in any case. One that comes
-- after its holder gets it later.
local function take_name(id, name, until_claimed, time, after)
  redis.call('HSET', base .. 'named', id, until_claimed and name .. 'w' or name)
  if after then
    return
  end
  redis.call('HSET', base .. 'names', name, id)
  if time > 0 then
    forget_overdue_names()
    redis.call('ZADD', base .. 'reserved', clock() + time, name)
  end
end
