-- The keys of a queue with most jobs that wait.
-- needs: _lanes
-- KEYS: the base of the queue
-- ARGV: how many keys are told, at how many it looks of those that take turns, and of the others
-- returns: at how many it looked, how many there are, and of each key that is told: it, how many of its
--          jobs wait, how many permits are held
if not lanes then
  return {0, 0, {}}
end
local waiting, keys, looked, of = {}, {}, 0, redis.call('ZCARD', base .. 'closed')

local function look(key, level)
  if not waiting[key] then
    keys[#keys + 1] = key
  end
  waiting[key] = (waiting[key] or 0) + redis.call('ZCARD', lanes.of(key, level))
end

local left = tonumber(ARGV[2])
for _, level in ipairs(redis.call('ZRANGE', base .. 'levels', 0, -1)) do
  local ready = left > 0 and redis.call('ZRANGE', lanes.name('ready', level), 0, left - 1) or {}
  for _, key in ipairs(ready) do
    look(key, level)
  end
  left = left - #ready
  of = of + redis.call('ZCARD', lanes.name('ready', level))
end
for _, key in ipairs(redis.call('ZRANGE', base .. 'closed', 0, ARGV[2] - 1)) do
  for _, level in ipairs(redis.call('SMEMBERS', base .. 'shut:' .. key)) do
    look(key, level)
  end
end
looked = #keys

local function has_more(one, other)
  if waiting[one] ~= waiting[other] then
    return waiting[one] > waiting[other]
  end
  return one < other
end

table.sort(keys, has_more)
local told = {}
for number = 1, math.min(#keys, tonumber(ARGV[1])) do
  local key = keys[number]
  local held = redis.call('ZLEXCOUNT', base .. 'held', '[' .. key .. '\0', '(' .. key .. '\1')
  told[number] = {key, waiting[key], held}
end
return {looked, of, told}
