-- What a change writes beside the lines; `runs` and `bytes` are written by turn.lua at the end.
local bytes, packed = 0, {}

-- Write error, result or progress. The first two are part of the job's size.
local function write_left(id, left, run)
  local key = base .. 'left:' .. id
  for at = 1, #left, 2 do
    if left[at] ~= 'progress' then
      run[SIZE] = run[SIZE] + #left[at + 1] - redis.call('HSTRLEN', key, left[at])
    end
  end
  redis.call('HSET', key, unpack(left))
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
