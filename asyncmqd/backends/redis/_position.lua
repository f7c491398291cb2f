-- Where a job stands in a sorted set, or would stand: a search goes on from there.

-- Bytes, for `<` goes by the server's locale.
local function precedes(one, other)
  for at = 1, math.min(#one, #other) do
    local a, b = one:byte(at), other:byte(at)
    if a ~= b then
      return a < b
    end
  end
  return #one < #other
end

-- How many jobs stand before this one, and how many up to it. It may have gone since.
local function position(place, score, id)
  local known = redis.call('ZSCORE', place, id)
  if known and tonumber(known) == tonumber(score) then
    local rank = redis.call('ZRANK', place, id)
    return rank, rank + 1
  end
  local low = redis.call('ZCOUNT', place, '-inf', '(' .. score)
  local high = redis.call('ZCOUNT', place, '-inf', score)
  while low < high do
    local middle = math.floor((low + high) / 2)
    if precedes(redis.call('ZRANGE', place, middle, middle)[1], id) then
      low = middle + 1
    else
      high = middle
    end
  end
  return low, low
end

-- Ids and scores of the jobs in a place behind a score and an id (false: of the first), up to so many.
local function ids_behind(place, score, id, count, backwards)
  local size = redis.call('ZCARD', place)
  local before, behind = size, 0
  if score then
    before, behind = position(place, score, id)
  end
  if not backwards then
    return redis.call('ZRANGE', place, behind, behind + count - 1, 'WITHSCORES')
  elseif before == 0 then
    return {}
  end
  return redis.call('ZREVRANGE', place, size - before, size - before + count - 1, 'WITHSCORES')
end
