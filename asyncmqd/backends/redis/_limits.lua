-- Limits that hold over all daemons, see domain/shared_limits.py. Called only where there are some, for
-- a script makes all its functions anew at each call.
local function limits_of_all()
  local limits = {}

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

  -- Instances that found the limit reached are woken for jobs again once it is not: each job that is
  -- added until then would wake one of them in vain.
  function limits.open_gate()
    if redis.call('EXISTS', base .. 'held_back') == 1 then
      redis.call('SUNIONSTORE', base .. 'waiters', base .. 'waiters', base .. 'held_back')
      redis.call('DEL', base .. 'held_back')
    end
  end

  -- Permits came free, and who freed them claims nothing: somebody else is woken.
  function limits.pass_permits(waiting, active)
    local stored = redis.call('GET', base .. 'limits')
    if not stored or limits.permits(cmsgpack.unpack(stored), active) > 0 then
      limits.open_gate()
      if redis.call('EXISTS', base .. waiting) == 1 then
        wake()
      end
    end
  end

  return limits
end
