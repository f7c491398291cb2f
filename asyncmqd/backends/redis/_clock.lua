-- One time for all of a script, as servers have kept it since Redis 7. An older one tells a later time at
-- each call: by that, a token that came back with a claim's own time would be there a moment later than now.
-- Microseconds are whole numbers below 2^53: exact in Lua and as scores. Only never join them with
-- `..`, which rounds to 14 digits.
local moment
local function clock()
  if not moment then
    local time = redis.call('TIME')
    moment = time[1] * 1000000 + time[2]
  end
  return moment
end
