-- Jobs are taken out of lanes, and come with their scores, as ZPOPMIN brings them.
if lanes then
  local function taken_from(line, found)
    local ids = {}
    for at = 1, #found, 2 do
      ids[#ids + 1] = found[at]
    end
    redis.call('ZREM', base .. line, unpack(ids))
    return found
  end

  -- Jobs of one priority that have no key.
  function lanes.pop_plain(level, number)
    return taken_from(WAITING, redis.call('ZRANGEBYSCORE', base .. WAITING, '-inf', lanes.behind(level),
      'WITHSCORES', 'LIMIT', 0, number))
  end

  -- All jobs for which it is the turn of this lane.
  function lanes.pop(lane, level)
    if lane.key == '' then
      redis.call('ZADD', lanes.name('idle', level), lane.tag, '')
      return lanes.pop_plain(level, lane.served)
    end
    local found = redis.call('ZPOPMIN', lanes.of(lane.key, level), lane.served)
    taken_from('keyed', found)
    if lane.left == lane.served then
      lanes.deactivate(lane.key, level, lane.tag)
    else
      redis.call('ZADD', lanes.name('ready', level), lane.tag, lane.key)
    end
    return found
  end
end
