-- Limits that hold over all daemons, see domain/shared_limits.py. Called only where there are some, for
-- a script makes all its functions anew at each call.
local function limits_of_all()
  local limits = {}

  -- with: _declarations

  -- How many more jobs may start.
  function limits.permits(declared, active)
    if lanes then
      lanes.forget_ended_ghosts()
    end
    redis.call('ZREMRANGEBYSCORE', base .. 'ghosts', '-inf', clock())
    if not declared.limits.concurrency then
      return math.huge
    end
    local held = redis.call('ZCARD', base .. active) + redis.call('ZCARD', base .. 'ghosts')
    return math.max(0, declared.limits.concurrency - held)
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
    if lanes and (lanes.know_limits().judge_by(declared) or redis.call('EXISTS', base .. 'closed') == 1) then
      lanes.open_due()
    end
    local bucket = bucket_of(declared)
    bucket.hand_back(unstarted)
    return packed, limits.permits(declared, ARGV[2]), bucket
  end

  return limits
end
