-- Microseconds are whole numbers below 2^53: exact in Lua and as scores. Only never join them with
-- `..`, which rounds to 14 digits.
local function clock()
  local time = redis.call('TIME')
  return time[1] * 1000000 + time[2]
end
