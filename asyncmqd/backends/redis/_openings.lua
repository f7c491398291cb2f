-- When time opens the next key, and who was told. In _closed_keys.lua.
--   told  the channel of who was told last, until then

-- In how many microseconds time opens the next one; false: never.
function lanes.opens_in()
  local first = tonumber(redis.call('ZRANGE', base .. 'closed', 0, 0, 'WITHSCORES')[2] or math.huge)
  return first < math.huge and math.max(0, first - clock())
end

-- The same to one who is idle, and is the last who knows it.
function lanes.tell_opening(channel)
  local opens_in = lanes.opens_in()
  if opens_in and channel ~= '' then
    redis.call('SET', base .. 'told', channel, 'PX', math.ceil(opens_in / 1000) + 1)
  end
  return opens_in
end
