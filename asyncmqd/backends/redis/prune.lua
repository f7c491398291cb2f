-- Delete ended jobs beyond the limits: those whose time is up, the oldest of too many counted ones,
-- and, while the rest is too big, the oldest counted ones and then those with the least time left.
-- needs: _lines _keep
-- KEYS: the base of the queue
-- ARGV: page, how many counted ones may stay, how many bytes may stay, then the ended places
-- returns: how many were deleted
local page, ended, removed = tonumber(ARGV[1]), {unpack(ARGV, 4)}, 0

local function drop(ids)
  for _, id in ipairs(ids) do
    delete(id, find(id, ended) or ended[1])
  end
  removed = removed + #ids
  return #ids > 0
end

drop(redis.call('ZRANGEBYSCORE', base .. 'expiry', '-inf', clock(), 'LIMIT', 0, page))
local surplus = redis.call('ZCARD', base .. 'counted') - ARGV[2]
local count = math.min(surplus, page - removed)
if count > 0 then
  drop(redis.call('ZRANGE', base .. 'counted', 0, count - 1))
end
local function too_big()
  return tonumber(redis.call('GET', base .. 'bytes') or 0) > tonumber(ARGV[3])
end
while removed < page and too_big() do
  if not (drop(redis.call('ZRANGE', base .. 'counted', 0, 0))
    or drop(redis.call('ZRANGE', base .. 'expiry', 0, 0))) then
    break
  end
end
return removed
