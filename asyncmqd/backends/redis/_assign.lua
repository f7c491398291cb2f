-- Claims the job that was just added for a worker that has signed up, and tells it: see signing_up.py. Only where it is
-- the only one that waits, and nothing has to be judged. What nobody hears is taken back.

-- The job that waits, with its score, if there is one alone.
local function lone_job()
  local first = redis.call('ZRANGE', base .. WAITING, 0, 1, 'WITHSCORES')
  if #first == 2 and redis.call('EXISTS', base .. 'paused', base .. 'limits', base .. 'laned') == 0 then
    return first[1], tonumber(first[2])
  end
end

-- Of a claim that is written: whether its worker hears of it.
local function tell(channel, number, id, run, job, now)
  local head = cmsgpack.pack({base, number, now, id})
  local message = string.format('\1%05d%05d', #head, #run) .. head .. run .. job
  local heard = redis.pcall('PUBLISH', channel, message)
  return type(heard) == 'number' and heard > 0
end

-- The next channel that somebody has signed up with is tried where nobody hears one.
local function assign(channel)
  local id, order = lone_job()
  local job = id and redis.call('GET', base .. 'job:' .. id)
  local now, assigned = clock(), false
  local sign_up = job and redis.call('HGET', base .. 'offers', channel)
  while sign_up and not assigned do
    local worker, lease, number = unpack(cmsgpack.unpack(sign_up))
    local run = first_run(now, worker)(order, #job)
    redis.call('HSET', base .. 'runs', id, run)
    redis.call('ZADD', base .. ACTIVE, now + lease, id)
    redis.call('SREM', base .. 'waiters', channel)
    redis.call('HDEL', base .. 'offers', channel)
    assigned = tell(channel, number, id, run, job, now)
    if assigned then
      redis.call('ZREM', base .. WAITING, id)
    else
      redis.call('ZREM', base .. ACTIVE, id)
      redis.call('HDEL', base .. 'runs', id)
      channel = redis.call('SRANDMEMBER', base .. 'waiters')
      sign_up = channel and redis.call('HGET', base .. 'offers', channel)
    end
  end
  return assigned
end
