-- The lanes of waiting jobs that have a key, see domain/lanes.py. The table has functions only where the
-- queue has keys, as a script makes all functions anew at each call.
if lanes then
  local emptied = {}
  lanes.PRIORITY, lanes.BEHIND = 2 ^ 44, 100

  function lanes.name(kind, level)
    return string.format('%s%s:%d', base, kind, level)
  end

  function lanes.of(key, level)
    return string.format('%slane:%d:%s', base, level, key)
  end

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

  -- A lane takes no turns any more; `tag` is its last one, if it took some.
  function lanes.deactivate(key, level, tag)
    redis.call('ZREM', lanes.name('ready', level), key)
    if tag and tonumber(tag) > lanes.virtual_time(level) then
      redis.call('ZADD', lanes.name('idle', level), tag, key)
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
