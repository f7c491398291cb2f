-- The lanes of waiting jobs that have a key, see domain/lanes.py. The table has functions only where the
-- queue has keys, as a script makes all functions anew at each call.
if lanes then
  local emptied = {}
  lanes.PRIORITY, lanes.BEHIND = 2 ^ 44, 100

  function lanes.name(kind, level) return string.format('%s%s:%d', base, kind, level) end
  function lanes.of(key, level) return string.format('%slane:%d:%s', base, level, key) end

  function lanes.virtual_time(level)
    return tonumber(redis.call('HGET', base .. 'reached', level) or 0)
  end

  function lanes.start_tag(key, level)
    local tag = redis.call('ZSCORE', lanes.name('idle', level), key)
    return math.max(lanes.virtual_time(level) + lanes.BEHIND, tonumber(tag or 0))
  end

  -- A lane that has jobs takes turns.
  function lanes.activate(key, level)
    redis.call('ZADD', lanes.name('ready', level), lanes.start_tag(key, level), key)
    redis.call('ZREM', lanes.name('idle', level), key)
    redis.call('ZADD', base .. 'levels', level, level)
  end

  -- Lanes take no turns any more; the tag of each is its last one, false if it took none.
  function lanes.deactivate(level, keys, tags)
    local idle, reached = {}, lanes.virtual_time(level)
    for number, key in ipairs(keys) do
      if tags[number] and tonumber(tags[number]) > reached then
        idle[#idle + 1], idle[#idle + 2] = tags[number], key
      end
    end
    redis.call('ZREM', lanes.name('ready', level), unpack(keys))
    if #idle > 0 then
      redis.call('ZADD', lanes.name('idle', level), unpack(idle))
    end
    if redis.call('EXISTS', lanes.name('ready', level)) == 0 then
      redis.call('ZREM', base .. 'levels', level)
      emptied[level] = true
    end
  end

  -- At the end of a verb: nobody is owed a turn where nothing waits any more.
  function lanes.forget_idle()
    for level in pairs(emptied) do
      if redis.call('EXISTS', lanes.name('ready', level), base .. WAITING) == 0 then
        redis.call('DEL', lanes.name('idle', level))
        redis.call('HDEL', base .. 'reached', level)
      end
    end
  end
end
