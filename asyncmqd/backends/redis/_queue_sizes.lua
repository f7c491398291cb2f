-- What a queue tells of its own past: how full it is, and what became of all jobs that it ever had.
local function sizes(ended)
  local found = {[WAITING] = redis.call('ZCARD', base .. 'keyed')}
  for _, place in ipairs(with_parked({WAITING})) do
    found[WAITING] = found[WAITING] + redis.call('ZCARD', base .. place)
  end
  for _, place in ipairs({DELAYED, BLOCKED, ACTIVE, unpack(ended)}) do
    found[place] = redis.call('ZCARD', base .. place)
  end
  return found
end

-- When the oldest was added of those that run next in their priority, if that is before `least`.
local function oldest(place, least, priorities)
  local from = '-inf'
  for _ = 1, priorities do
    local head = redis.call('ZRANGEBYSCORE', base .. place, from, '+inf', 'WITHSCORES', 'LIMIT', 0, 1)
    if not head[1] then
      break
    end
    local added = redis.pcall('GETRANGE', base .. 'job:' .. head[1], 0, 15)
    least = math.min(least, type(added) == 'string' and tonumber(added) or least)
    from = string.format('%.0f', (math.floor(head[2] / 2 ^ 44) + 1) * 2 ^ 44)
  end
  return least
end

-- How many jobs were ever added, and have ever come to each ended place; before them the minute.
local function count_totals(minute, places, ended)
  local passed = redis.call('HMGET', base .. 'passed', 'deleted', unpack(ended))
  local found = {minute, tonumber(passed[1] or 0)}
  for _, size in pairs(places) do
    found[2] = found[2] + size
  end
  for at, place in ipairs(ended) do
    found[at + 2] = places[place] + tonumber(passed[at + 1] or 0)
  end
  return found
end

-- What came to these totals since they were `before`; they fall if the store was emptied.
local function counts_since(before, totals, numbers)
  local counts = {0, 0, 0, 0, 0, 0, 0, 0}
  for at, number in ipairs(numbers) do
    local known = before[at + 1] or 0
    counts[tonumber(number)] = totals[at + 1] - (known <= totals[at + 1] and known or 0)
  end
  return counts
end
