-- Limits that hold over all daemons, see domain/shared_limits.py. Called only where there are some, for
-- a script makes all its functions anew at each call.
-- It comes first of all parts, and gets what comes later: each local of others that a function uses is
-- looked for when the function is made, and the later, the longer.
local function limits_of_all(wake, note_waiter)
  local limits, now = {}, clock()

  -- Of two declarations, packed, the one that is in force; false if there is none. One that was lost
  -- is written again.
  function limits.in_force(stored, told)
    local known, other = stored and cmsgpack.unpack(stored), told ~= '' and cmsgpack.unpack(told)
    if other and (not known or other.since > known.since) then
      redis.call('SET', base .. 'limits', told)
      return told, other
    end
    return stored, known
  end

  -- How many more jobs may start.
  function limits.permits(declared, active)
    if not declared.limits.concurrency then
      return math.huge
    end
    redis.call('ZREMRANGEBYSCORE', base .. 'ghosts', '-inf', clock())
    local held = redis.call('ZCARD', base .. active) + redis.call('ZCARD', base .. 'ghosts')
    return math.max(0, declared.limits.concurrency - held)
  end

  -- The bucket of the rate, see domain/rate.py and `Bucket`; `lost`: what was taken is not known.
  function limits.bucket(declared, lost)
    local bucket, starts = {}, declared.limits.rate_limit
    if not starts then
      function bucket.allowed() return math.huge end
      function bucket.hand_back() end
      function bucket.take() end
      return bucket
    end
    local gap = math.min((declared.limits.rate_interval or 1) * 1000000 / starts, 1e17)
    local burst = math.max(1, declared.limits.burst or starts)
    local empty, found = now + burst * gap, tonumber(redis.call('GET', base .. 'arrival')) or 0
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
      if starts > 0 and arrival ~= found then
        redis.call('SET', base .. 'arrival', string.format('%.17g', arrival))
      end
    end

    return bucket
  end

  -- Instances that found the limit reached are woken for jobs again once it is not: each job that is
  -- added until then would wake one of them in vain.
  function limits.open_gate()
    if redis.call('EXISTS', base .. 'held_back') == 1 then
      redis.call('SUNIONSTORE', base .. 'waiters', base .. 'waiters', base .. 'held_back')
      redis.call('DEL', base .. 'held_back')
    end
  end

  -- By what a claim is judged: the limits in force, packed; the permits that are left; the bucket.
  function limits.now(stored, told, unstarted)
    local packed, declared = limits.in_force(stored, told)
    local bucket = limits.bucket(declared, packed ~= stored)
    bucket.hand_back(unstarted)
    return packed, limits.permits(declared, ARGV[2]), bucket
  end

  -- So many jobs were claimed, and so many permits are left; in how many microseconds time alone lets
  -- more start, if they were too few. Who takes all that the rate allows wakes another, who learns
  -- when it allows more; who takes the last permit does not, for its end wakes.
  function limits.note_claims(number, full, places, bucket)
    bucket.take(number)
    local is_open = bucket.allowed() > 0
    if places > 0 and (is_open or full) then
      limits.open_gate()
      note_waiter(full, ARGV[6])
      return false
    end
    note_waiter(full, ARGV[6], true)
    if full or places > 0 then
      return not full and bucket.opens_in()
    end
    -- What frees a permit without an end that wakes somebody.
    local first = redis.call('ZRANGE', base .. 'ghosts', 0, 0, 'WITHSCORES')[2]
    return first and first - now
  end

  -- Permits or tokens came free, and who freed them claims nothing: somebody else is woken. Where no
  -- token is there, that one learns when there will be.
  function limits.pass_permits(waiting, active, unstarted)
    local stored = redis.call('GET', base .. 'limits')
    local declared = stored and cmsgpack.unpack(stored)
    if stored and unstarted then
      local bucket = limits.bucket(declared)
      bucket.hand_back(unstarted)
      bucket.take(0)
    end
    if not stored or limits.permits(declared, active) > 0 then
      limits.open_gate()
      if redis.call('EXISTS', base .. waiting) == 1 then
        wake()
      end
    end
  end

  return limits
end
