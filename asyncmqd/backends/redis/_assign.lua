-- Claims the job that was just added for a worker that has signed up, and tells it: see signing_up.py. Only where it is
-- the only one that waits, and nothing has to be judged.

-- The job that waits, with its score, if there is one alone.
local function lone_job()
  local first = redis.call('ZRANGE', base .. WAITING, 0, 1, 'WITHSCORES')
  if #first == 2 and redis.call('EXISTS', base .. 'paused', base .. 'limits', base .. 'laned') == 0 then
    return first[1], tonumber(first[2])
  end
end

-- Whether its owner listens to this server. Asked before: what is published to nobody here is heard all the same
-- by who listens to a replica, which was the master before. And PUBLISH counts who listens to all channels.
local function hears(channel)
  local listening = redis.pcall('PUBSUB', 'NUMSUB', channel)
  return listening[2] and listening[2] > 0
end

-- Whether that was possible, of a claim that is written.
local function tell(channel, number, id, run, job, now)
  local head = cmsgpack.pack({base, number, now, id})
  local message = string.format('\1%05d%05d', #head, #run) .. head .. run .. job
  return type(redis.pcall('PUBLISH', channel, message)) == 'number'
end

-- Where nobody hears the channel, or the user may not publish, `wake` does what is to be done.
local function assign(channel)
  local id, order = lone_job()
  local sign_up = id and redis.call('HGET', base .. 'offers', channel)
  if not sign_up or not hears(channel) then
    return false
  end
  local job, now = redis.call('GET', base .. 'job:' .. id), clock()
  local worker, lease, number = unpack(cmsgpack.unpack(sign_up))
  local run = first_run(now, worker)(order, #job)
  redis.call('HSET', base .. 'runs', id, run)
  redis.call('ZADD', base .. ACTIVE, now + lease, id)
  if not tell(channel, number, id, run, job, now) then
    redis.call('ZREM', base .. ACTIVE, id)
    redis.call('HDEL', base .. 'runs', id)
    return false
  end
  redis.call('SREM', base .. 'waiters', channel)
  redis.call('HDEL', base .. 'offers', channel)
  return redis.call('ZREM', base .. WAITING, id) == 1
end
