-- The names of unique jobs. A job holds its name as long as it is live: nothing has to free it.

-- Whether there is such a job, and it has not ended: each that has is kept in one of two lines.
local function is_live(id)
  return redis.call('EXISTS', base .. 'job:' .. id) == 1
    and not redis.call('ZSCORE', base .. 'expiry', id)
    and not redis.call('ZSCORE', base .. 'counted', id)
end

-- The id of the live job that has this name, or nil.
local function holder_of(name)
  local id = redis.call('HGET', base .. 'names', name)
  return id and is_live(id) and id or nil
end

-- The name of a job, or nil.
local function name_of(id)
  return redis.call('HGET', base .. 'named', id) or nil
end

local function take_name(id, name)
  redis.call('HSET', base .. 'names', name, id)
  redis.call('HSET', base .. 'named', id, name)
end

-- Of jobs that are deleted. One command where no job has a name.
local function forget_names(ids)
  if redis.call('EXISTS', base .. 'named') == 0 then
    return
  end
  for number, name in ipairs(redis.call('HMGET', base .. 'named', unpack(ids))) do
    if name and redis.call('HGET', base .. 'names', name) == ids[number] then
      redis.call('HDEL', base .. 'names', name)
    end
  end
  redis.call('HDEL', base .. 'named', unpack(ids))
end
