-- The bucket of the rate over all daemons, or of one key, see domain/rate.py and `Bucket`; `lost`: what
-- was taken is not known. Called only where there are limits.
local function bucket_of(declared, lost, key)
  local limits = key and lanes.limits_of(key) or declared.limits
  local bucket, starts, now = {}, limits.rate_limit, clock()
  if not starts then
    function bucket.allowed() return math.huge end
    function bucket.hand_back() end
    function bucket.take() end
    return bucket
  end
  local gap = math.min((limits.rate_interval or 1) * 1000000 / starts, 1e17)
  local burst = math.max(1, limits.burst or starts)
  local found = key and lanes.arrival(key) or not key and redis.call('GET', base .. 'arrival')
  found = tonumber(found) or 0
  local empty = now + burst * gap
  local arrival = lost and empty or math.min(found, empty)

  function bucket.allowed()
    local used = math.max(0, arrival - now) / gap
    return starts > 0 and math.max(0, math.floor(burst - used + 0.000000001)) or 0
  end

  -- In microseconds; false: never.
  function bucket.opens_in()
    return starts > 0 and math.ceil(math.max(0, arrival - now - (burst - 1) * gap))
  end

  -- The jobs of claims that were made at these moments, if any, did not start.
  function bucket.hand_back(moments)
    for _, claimed in ipairs(moments or {}) do
      if starts > 0 and claimed >= declared.since * 1000000 then
        arrival = arrival - math.max(0, gap - math.max(0, now - claimed))
      end
    end
  end

  -- So many jobs were claimed. What is to be kept is written.
  function bucket.take(number)
    if starts > 0 and number > 0 then
      arrival = math.max(arrival, now) + number * gap
    end
    if starts > 0 and arrival ~= found and key then
      redis.call('ZADD', base .. 'arrivals', string.format('%.17g', arrival), key)
    elseif starts > 0 and arrival ~= found then
      redis.call('SET', base .. 'arrival', string.format('%.17g', arrival))
    end
  end

  return bucket
end
