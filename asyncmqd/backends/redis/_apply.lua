-- One change to one job.
local now = clock()

local function rank(id, edge, change)
  if edge.rank == 'tail' then
    return tail(id)
  elseif edge.rank == 'kept' then
    return redis.call('HGET', base .. 'run:' .. id, 'order')
  end
  return now + change.delay
end

local function move(id, place, edge, change)
  local score = rank(id, edge, change)
  redis.call('ZREM', base .. place, id)
  redis.call('ZADD', base .. change.place, score, id)
  if change.shelf then
    redis.call('SADD', base .. 'shelves', change.place)
  end
end

local function apply(edge, id, token, change)
  local run = base .. 'run:' .. id
  local known = redis.call('HGET', run, 'token')
  if not known and redis.call('EXISTS', base .. 'job:' .. id) == 0 then
    return 3
  elseif (known or '0') ~= token then
    return 2
  end
  local place, score = find(id, edge.sources, edge.shelved)
  if not place then
    return 1
  elseif change.lapsed and tonumber(score) > now then
    return 2
  end
  if change.outside then
    redis.call('HINCRBY', run, 'token', 1)
  end
  if edge.ended then
    unkeep(id)
  end
  if place ~= change.place then
    move(id, place, edge, change)
  end
  if #change.fields > 0 then
    redis.call('HSET', run, unpack(change.fields))
  end
  if change.kept >= -1 then
    keep(id, now + change.delay, change.kept >= 0 and now + change.kept + change.delay or nil)
  end
  return 0
end
