-- Limits that hold over all daemons, see domain/shared_limits.py.

-- Of two declarations, packed, the one that is in force; false if there is none. One that was lost is
-- written again.
local function limits_in_force(stored, told)
  local known, other = stored and cmsgpack.unpack(stored), told ~= '' and cmsgpack.unpack(told)
  if other and (not known or other.since > known.since) then
    redis.call('SET', base .. 'limits', told)
    return told, other
  end
  return stored, known
end

-- How many more jobs may start.
local function permits(declared, active)
  if not declared.limits.concurrency then
    return math.huge
  end
  redis.call('ZREMRANGEBYSCORE', base .. 'ghosts', '-inf', clock())
  local held = redis.call('ZCARD', base .. active) + redis.call('ZCARD', base .. 'ghosts')
  return math.max(0, declared.limits.concurrency - held)
end

-- Instances that found the limit reached are woken for jobs again once it is not: each job that is
-- added until then would wake one of them in vain.
local function open_gate()
  if redis.call('EXISTS', base .. 'held_back') == 1 then
    redis.call('SUNIONSTORE', base .. 'waiters', base .. 'waiters', base .. 'held_back')
    redis.call('DEL', base .. 'held_back')
  end
end

-- Permits came free, and who freed them claims nothing: somebody else is woken.
local function pass_permits(active, waiting)
  if redis.call('EXISTS', base .. 'held_back') == 0 then
    return
  end
  local stored = redis.call('GET', base .. 'limits')
  if not stored or permits(cmsgpack.unpack(stored), active) > 0 then
    open_gate()
    if redis.call('EXISTS', base .. waiting) == 1 then
      wake()
    end
  end
end

-- In microseconds: when time alone frees a permit.
local function opens_in()
  local first = redis.call('ZRANGE', base .. 'ghosts', 0, 0, 'WITHSCORES')[2]
  return first and first - clock()
end
