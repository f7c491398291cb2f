-- Jobs are taken out of lanes, and come with their scores, as ZPOPMIN brings them.
if lanes then
  -- The score behind all jobs of a priority.
  function lanes.behind(level)
    return string.format('(%.0f', (level + 1) * lanes.PRIORITY)
  end

  -- Of the first jobs of a lane.
  function lanes.ids(key, level, number)
    if key ~= '' then
      return redis.call('ZRANGE', lanes.of(key, level), 0, number - 1)
    end
    return redis.call('ZRANGEBYSCORE', base .. WAITING, '-inf', lanes.behind(level), 'LIMIT', 0, number)
  end

  -- Jobs of one priority that have no key.
  function lanes.pop_plain(level, number)
    local found = redis.call('ZRANGEBYSCORE', base .. WAITING, '-inf', lanes.behind(level),
      'WITHSCORES', 'LIMIT', 0, number)
    local ids = {}
    for at = 1, #found, 2 do
      ids[#ids + 1] = found[at]
    end
    redis.call('ZREM', base .. WAITING, unpack(ids))
    return found
  end
  -- with: _lane_ends _lane_writes
end
