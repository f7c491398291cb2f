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

  local function taken_from(line, found)
    local ids = {}
    for at = 1, #found, 2 do
      ids[#ids + 1] = found[at]
    end
    redis.call('ZREM', base .. line, unpack(ids))
    return ids
  end

  -- Jobs of one priority that have no key.
  function lanes.pop_plain(level, number)
    local found = redis.call('ZRANGEBYSCORE', base .. WAITING, '-inf', lanes.behind(level),
      'WITHSCORES', 'LIMIT', 0, number)
    taken_from(WAITING, found)
    return found
  end

  -- All jobs for which it is the turn of this lane.
  function lanes.pop(lane, level)
    if lane.key == '' then
      redis.call('ZADD', lanes.name('idle', level), lane.tag, '')
      return lanes.pop_plain(level, lane.served)
    end
    local found = redis.call('ZPOPMIN', lanes.of(lane.key, level), lane.served)
    lanes.hold(lane.key, taken_from('keyed', found))
    local left = redis.call('EXISTS', lanes.of(lane.key, level)) == 1
    if left then
      redis.call('ZADD', lanes.name('ready', level), lane.tag, lane.key)
    else
      lanes.deactivate(lane.key, level, lane.tag)
    end
    lanes.charge(lane.key, lane.tokens or lane.served, left)
    return found
  end
end
