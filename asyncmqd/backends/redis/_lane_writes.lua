-- What lanes have in common is as their jobs say that were taken. In _lane_pops.lua, behind _lane_ends.lua.

-- The lanes that have jobs take turns, the others do not: the keys of these. Mostly all have some, or none has.
local function go_on(level)
  local alike, emptied, lasts, gone = redis.call('EXISTS', unpack(names)), {}, {}, {}
  if alike > 0 then
    redis.call('ZADD', lanes.name('ready', level), unpack(tags))
  end
  for at, name in ipairs(alike < number and names or {}) do
    if alike == 0 or redis.call('EXISTS', name) == 0 then
      local key = tags[2 * at]
      emptied[#emptied + 1], lasts[#lasts + 1], gone[key] = key, tags[2 * at - 1], true
    end
  end
  if #emptied > 0 then
    lanes.deactivate(level, emptied, lasts)
  end
  return gone
end

-- The last one first: a short sorted set is searched from its beginning, and keys take turns by their names.
local function hold_permits()
  local held = {}
  for at = 2, 2 * count, 2 do
    held[at - 1], held[at] = 0, permits[count + 1 - at / 2]
  end
  redis.call('ZADD', base .. 'held', unpack(held))
end

function lanes.write_pops(level)
  local gone = {}
  if count > 0 then
    redis.call('ZREM', base .. 'keyed', unpack(ids))
    hold_permits()
    gone = go_on(level)
  end
  for _, lane in ipairs(lanes.are_limited and served or {}) do
    lanes.charge(lane.key, lane.tokens or lane.served, not gone[lane.key])
  end
  count, ids, permits, number, names, tags, served = 0, {}, {}, 0, {}, {}, {}
end
