-- Keys are closed when they are used up, and judged again when their jobs end.
if lanes then
  -- When time alone lets one start that costs so much, of which none may now.
  local function opens(key, cost)
    if lanes.permits(key) > 0 then
      lanes.bucket(key).take(0) -- no emptier than empty: kept so
      return clock() + (lanes.bucket(key).opens_in(cost) or math.huge)
    end
    local range, first = {'[' .. key .. '\0\0', '(' .. key .. '\0\1'}, math.huge
    for _, member in ipairs(redis.call('ZRANGEBYLEX', base .. 'held', unpack(range))) do
      local lease_end = redis.call('ZSCORE', base .. 'ghosts', member:sub(#key + 3))
      first = math.min(first, tonumber(lease_end or math.huge))
    end
    return first
  end

  -- Close a key if none may start, the next of which costs so much; whether it was done.
  function lanes.close_unless_allowed(key, allowed, cost)
    if allowed == 0 then
      lanes.close(key, opens(key, cost))
    end
    return allowed == 0
  end

  -- Jobs of a key were claimed that cost so many tokens, where keys have limits; `left`: others wait.
  function lanes.charge(key, tokens, left)
    lanes.bucket(key).take(tokens)
    lanes.close_unless_allowed(key, left and lanes.allowed(key))
  end

  -- Tokens come back to the buckets of keys; whether any key may start again of those that ended.
  function lanes.judge(touched, unstarted)
    local any, closed = false, next(touched) and redis.call('EXISTS', base .. 'closed') == 1
    local stored = (closed or #unstarted > 0) and redis.call('GET', base .. 'limits')
    lanes.judge_by(stored and cmsgpack.unpack(stored))
    for _, each in ipairs(lanes.are_limited and unstarted or {}) do
      local bucket = each[1] and lanes.bucket(each[1])
      if bucket then
        bucket.hand_back({each[2]})
        bucket.take(0)
      end
    end
    for key in pairs(closed and touched or {}) do
      -- One that stays closed may open sooner than was known.
      if redis.call('ZSCORE', base .. 'closed', key)
        and not lanes.close_unless_allowed(key, lanes.allowed(key)) then
        lanes.reopen(key)
        any = true
      end
    end
    return any
  end
end
