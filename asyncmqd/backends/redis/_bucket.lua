-- The bucket of the rate over all daemons, or of one key: domain/rate.py. Called only where limits are.
local function bucket_of(declared, key)
  local limits = key and lanes.limits_of(key) or declared.limits
  local bucket, starts, now = {refused = 1, taken = 0}, limits.rate_limit, clock()
  if not starts then
    function bucket.allowed() return math.huge end
    function bucket.covered(costs) return #costs end
    function bucket.pays() return true end
    function bucket.hand_back() end
    function bucket.take() end
    return bucket
  end
  bucket.starts, bucket.burst = starts, math.max(1, limits.burst or starts)
  bucket.gap = math.min((limits.rate_interval or 1) * 1000000 / starts, 1e17)
  local empty, owes = now + bucket.burst * bucket.gap, base .. 'owes:' .. (key or '')
  local found = tonumber(key and lanes.arrival(key) or not key and redis.call('GET', base .. 'arrival') or 0)
  local restored = (declared.restored or 0) * 1000000
  bucket.arrival = found -- what was taken before the limits were restored is not known
  if starts > 0 and restored > 0 and restored <= now + 1000000 then
    bucket.arrival = math.max(found, restored + bucket.burst * bucket.gap)
  end
  -- Emptier than empty is one that owes what a job has cost that is dearer than its burst.
  local since = bucket.arrival > empty and tonumber(redis.call('GET', owes) or now + 1)
  if since and (since > now or since < declared.since * 1000000) then
    bucket.arrival = empty
  end
  -- with: _rate

  -- Jobs of claims did not start: of each when it was claimed, and what it costs.
  function bucket.hand_back(unstarted)
    for _, each in ipairs(unstarted or {}) do
      if starts > 0 and each[1] >= declared.since * 1000000 then
        bucket.refund(each[1], each[2])
      end
    end
  end

  -- Jobs were claimed that cost so many tokens. What is to be kept is written.
  function bucket.take(tokens)
    bucket.taken = bucket.taken + tokens
    local kept = bucket.after()
    if starts == 0 or kept == found then
      return
    elseif bucket.taken > 0 and kept > empty then
      redis.call('SET', owes, now, 'PX', math.ceil((kept - now) / 1000))
    end
    if key then
      redis.call('ZADD', base .. 'arrivals', string.format('%.17g', kept), key)
    else
      redis.call('SET', base .. 'arrival', string.format('%.17g', kept))
    end
  end

  return bucket
end
