-- What the limits of each key let start: domain/key_limits.py, told again.
if lanes then
  local declared = false -- the limits by which it is judged, or none

  -- By these limits, or none, it is judged from now on.
  function lanes.judge_by(found)
    declared = found and (found.limits.each_key or found.limits.keys) and found
    lanes.are_limited = declared
    return declared
  end

  function lanes.limits_of(key)
    local limits = declared and key ~= '' and declared.limits or {}
    return limits.keys and limits.keys[key] or limits.each_key or {}
  end

  -- By how much a start sets a key back.
  function lanes.step(key)
    return declared and math.max(1, math.floor(1000 / (lanes.limits_of(key).weight or 1) + 0.5)) or 1000
  end

  function lanes.arrival(key)
    return redis.call('ZSCORE', base .. 'arrivals', key)
  end

  function lanes.permits(key)
    local most = lanes.limits_of(key).concurrency
    local range = {base .. 'held', '[' .. key .. '\0', '(' .. key .. '\1'}
    return most and math.max(0, most - redis.call('ZLEXCOUNT', unpack(range))) or math.huge
  end

  function lanes.bucket(key)
    return bucket_of(declared, key)
  end

  -- How many jobs of a key may start.
  function lanes.allowed(key)
    return declared and math.min(lanes.permits(key), lanes.bucket(key).allowed()) or math.huge
  end
end
