-- Keys of which no job may start, and when time opens them: their lanes take no turns.
--   closed      sorted set of these keys: when time alone opens them
--   closed_at   when the last of them was closed, for a day
--   shut:<key>  set of the priorities in which one has lanes
--   held        sorted set by name, of what has a permit: `<key>\0<id>` of a job, `<key>\0\0<ghost>`
--   ghost_keys  hash: the key of each of these ghosts
--   arrivals    sorted set of keys: when the bucket of one would be full again
if lanes then
  lanes.timed = false -- whether one was closed that time opens
  function lanes.close(key, opens)
    redis.call('ZADD', base .. 'closed', opens == math.huge and '+inf' or string.format('%.0f', opens), key)
    redis.call('SET', base .. 'closed_at', clock(), 'PX', 86400000)
    lanes.timed = lanes.timed or opens < math.huge
    for _, level in ipairs(redis.call('ZRANGE', base .. 'levels', 0, -1)) do
      local tag = redis.call('ZSCORE', lanes.name('ready', level), key)
      if tag then
        lanes.deactivate(tonumber(level), {key}, {tag})
        redis.call('SADD', base .. 'shut:' .. key, level)
      end
    end
  end

  function lanes.reopen(key)
    redis.call('ZREM', base .. 'closed', key)
    for _, level in ipairs(redis.call('SMEMBERS', base .. 'shut:' .. key)) do
      if redis.call('EXISTS', lanes.of(key, level)) == 1 then
        lanes.activate(key, tonumber(level))
      end
    end
    redis.call('DEL', base .. 'shut:' .. key)
  end

  -- Those that time has opened come back. A bucket that is full again says nothing.
  function lanes.open_due()
    redis.call('ZREMRANGEBYSCORE', base .. 'arrivals', '-inf', clock())
    if tonumber(redis.call('GET', base .. 'closed_at') or 0) > clock() + 1000000 then
      -- The clock was set back: all are judged again.
      redis.call('ZUNIONSTORE', base .. 'closed', 1, base .. 'closed', 'WEIGHTS', 0)
      redis.call('DEL', base .. 'closed_at')
    end
    local due = redis.call('ZRANGEBYSCORE', base .. 'closed', '-inf', clock(), 'LIMIT', 0, 1000)
    for _, key in ipairs(due) do
      lanes.reopen(key)
    end
  end
  -- with: _openings
end
