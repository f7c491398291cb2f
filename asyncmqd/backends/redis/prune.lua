-- Delete ended jobs beyond the limits: those whose time is up, the oldest of too many counted ones,
-- and, while the rest is too big, the oldest counted ones and then those with the least time left.
-- needs: _runs _lanes _lines _lane_moves _laned _key_permits _parked _tell _wake _names _keys _dependencies _deleted_counts _delete _missed
-- KEYS: the base of the queue
-- ARGV: page, how many counted ones may stay, how many bytes may stay, then the ended places
-- returns: how many were deleted
local page, most, removed, places, ended = tonumber(ARGV[1]), tonumber(ARGV[3]), 0, {}, {}
for number = 4, #ARGV do
  places[#places + 1], ended[ARGV[number]] = ARGV[number], true
end

local function drop(ids)
  local where = locate(ids, places)
  delete(ids, where, ended, nil, true)
  removed = removed + #ids
  return #ids > 0
end

drop(redis.call('ZRANGEBYSCORE', base .. 'expiry', '-inf', clock(), 'LIMIT', 0, page))
local surplus = redis.call('ZCARD', base .. 'counted') - ARGV[2]
local count = math.min(surplus, page - removed)
if count > 0 then
  drop(redis.call('ZRANGE', base .. 'counted', 0, count - 1))
end
while removed < page and tonumber(redis.call('GET', base .. 'bytes') or 0) > most do
  if not (drop(redis.call('ZRANGE', base .. 'counted', 0, 0))
    or drop(redis.call('ZRANGE', base .. 'expiry', 0, 0))) then
    break
  end
end
if edges then
  edges.pay_missed(page)
end
return removed
