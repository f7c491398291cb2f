-- Claims the job that was just added for a worker that has signed up, and tells it: see signing_up.py. Only where it is
-- the only one that waits, and nothing has to be judged. What nobody hears is taken back.

-- The job that waits, with its score, if there is one alone.
local function lone_job()
  local first = redis.call('ZRANGE', base .. WAITING, 0, 1, 'WITHSCORES')
  if #first == 2 and redis.call('EXISTS', base .. 'paused', base .. 'limits', base .. 'laned') == 0 then
    return first[1], tonumber(first[2])
  end
end

-- Of a claim that is written: how many heard of it, or the error of telling.
local function tell(channel, number, id, run, job, now)
  local head = cmsgpack.pack({base, number, now, id})
  local message = string.format('\1%05d%05d', #head, #run) .. head .. run .. job
  return redis.pcall('PUBLISH', channel, message)
end

-- The next channel that somebody has signed up with is tried where nobody hears one. Where the user may not
-- publish, all stay: `wake` says why.
local function assign(channel)
  local id, order = lone_job()
  local job = id and redis.call('GET', base .. 'job:' .. id)
  local now = clock()
  local sign_up = job and redis.call('HGET', base .. 'offers', channel)
  while sign_up do
    local worker, lease, number = unpack(cmsgpack.unpack(sign_up))
    local run = first_run(now, worker)(order, #job)
    redis.call('HSET', base .. 'runs', id, run)
    redis.call('ZADD', base .. ACTIVE, now + lease, id)
    local heard = tell(channel, number, id, run, job, now)
    local failed = type(heard) == 'table'
    if not failed then
      redis.call('SREM', base .. 'waiters', channel)
      redis.call('HDEL', base .. 'offers', channel)
      if heard > 0 then
        return redis.call('ZREM', base .. WAITING, id)
      end
    end
    redis.call('ZREM', base .. ACTIVE, id)
    redis.call('HDEL', base .. 'runs', id)
    channel = not failed and redis.call('SRANDMEMBER', base .. 'waiters')
    sign_up = channel and redis.call('HGET', base .. 'offers', channel)
  end
end
