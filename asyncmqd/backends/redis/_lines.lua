-- The lines that jobs stand in.

-- The place and the score of a job: one of `places`, or with `shelved` a shelf; nil if it is in none.
local function find(id, places, shelved)
  for _, place in ipairs(places) do
    local score = redis.call('ZSCORE', base .. place, id)
    if score then
      return place, score
    end
  end
  if shelved then
    return find(id, redis.call('SMEMBERS', base .. 'shelves'), false)
  end
end

-- The score behind all waiting jobs of its priority: 8 bits of priority, 44 bits of sequence.
local function tail(id)
  local priority = tonumber(redis.call('GETRANGE', base .. 'job:' .. id, 16, 18)) or 0
  return priority * 2 ^ 44 + redis.call('INCR', base .. 'seq')
end

-- The shelves that hold jobs, by name.
local function shelves()
  local full = {}
  for _, place in ipairs(redis.call('SMEMBERS', base .. 'shelves')) do
    if redis.call('EXISTS', base .. place) == 1 then
      full[#full + 1] = place
    else
      redis.call('SREM', base .. 'shelves', place)
    end
  end
  table.sort(full)
  return full
end
