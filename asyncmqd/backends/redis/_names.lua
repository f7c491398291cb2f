-- The names of unique jobs. A job holds its name as long as it is live, or, if its `named` ends in a w,
-- as long as it waits or is delayed: nothing has to free it. A name may be taken for a time, too,
-- whatever becomes of its job.

-- Whether there is such a job, and it has not ended: each that has is kept in one of two lines.
local function is_live(id)
  return redis.call('EXISTS', base .. 'job:' .. id) == 1
    and not redis.call('ZSCORE', base .. 'expiry', id)
    and not redis.call('ZSCORE', base .. 'counted', id)
end

-- The name of a job, or nil; and whether it is held until the job is claimed, and no longer.
local function name_of(id)
  local named = redis.call('HGET', base .. 'named', id)
  if named then
    return named:sub(1, 64), #named > 64
  end
end

local function is_taken_for_a_time(name)
  local until_when = redis.call('ZSCORE', base .. 'reserved', name)
  return until_when and tonumber(until_when) > clock()
end

local function holds(id)
  local _, until_claimed = name_of(id)
  return is_live(id) and not (until_claimed and redis.call('ZSCORE', base .. ACTIVE, id))
end

-- The id of the job that holds this name, or nil.
local function holder_of(name)
  local id = redis.call('HGET', base .. 'names', name)
  return id and (is_taken_for_a_time(name) or holds(id)) and id or nil
end

local function has_names()
  return redis.call('EXISTS', base .. 'named') == 1
end

-- What a job waited for has ended: its name is its own, if no live job has it.
local function inherit_name(id)
  local name = name_of(id)
  if name and not holds(redis.call('HGET', base .. 'names', name) or '') then
    redis.call('HSET', base .. 'names', name, id)
  end
end

-- A job that comes back takes its name again, if no other holds it.
local function retake_name(id)
  local name = name_of(id)
  local holder = name and holder_of(name)
  if name and (not holder or holder == id) then
    redis.call('HSET', base .. 'names', name, id)
  end
end
