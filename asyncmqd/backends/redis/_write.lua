-- What a change writes beside the lines; `runs` and `bytes` are written by turn.lua at the end.
local bytes, packed = 0, {}

-- Write error, result or progress, or note an attempt; what is empty takes no room. All but progress
-- is part of the job's size.
local function write_left(id, left, run)
  local key, kept = base .. 'left:' .. id, {}
  for at = 1, #left, 2 do
    local name, value = left[at], left[at + 1]
    if name == 'attempt' then
      name, value = 'attempts', with_attempt(redis.call('HGET', key, 'attempts'), run[STARTED], now, value)
    end
    if name ~= 'progress' then
      run[SIZE] = run[SIZE] + #value - redis.call('HSTRLEN', key, name)
    end
    if value == '' then
      redis.call('HDEL', key, name)
    else
      kept[#kept + 1], kept[#kept + 2] = name, value
    end
  end
  if #kept > 0 then
    redis.call('HSET', key, unpack(kept))
  end
end

-- Keep an ended job until a time, or by number.
local function keep(id, kept, run, moment)
  bytes = bytes + run[SIZE]
  if kept < 0 then
    enter('counted', moment, id)
  else
    enter('expiry', moment + kept, id)
  end
end

local function write_run(change, run)
  for field, value in pairs(change.kind.run) do
    run[field] = value
  end
  if change.kind.outside then
    run[TOKEN] = run[TOKEN] + 1
  end
  packed[#packed + 1], packed[#packed + 2] = change.id, cmsgpack.pack(run)
end
