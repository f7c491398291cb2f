-- Tell those who wait for results that jobs ended, or were deleted before: one message to each process
-- for all of them. A channel that nobody hears is a dead one's. Mostly nobody waits.
local function tell(ids)
  local channels = not plain and #ids > 0 and redis.call('SMEMBERS', base .. 'hearers') or {}
  for _, channel in ipairs(channels) do
    local heard = redis.pcall('PUBLISH', channel, cmsgpack.pack({base, ids}))
    if heard == 0 then
      redis.call('SREM', base .. 'hearers', channel)
    end
  end
end
