-- One change to one job: what becomes of it, and then the writing.
local now, bytes, packed = clock(), 0, {}

-- 0 it can be applied, 1 it was done already, 2 it is stale, 3 there is no such job.
local function judge(change, run, place, score)
  if not run and not place and redis.call('EXISTS', base .. 'job:' .. change.id) == 0 then
    return 3
  elseif (run and run[TOKEN] or 0) ~= change.token then
    return 2
  elseif not place or not change.kind.sources[place] then
    return 1
  end
  return change.kind.lapsed and tonumber(score) > now and 2 or 0
end

local function move(change, run, place, moment)
  local kind, score = change.kind, moment
  if kind.rank == 'tail' then
    score = tail(change.id)
  elseif kind.rank == 'kept' then
    score = run[ORDER]
  end
  leave(place, change.id)
  enter(kind.place, score, change.id)
  if kind.shelf then
    redis.call('SADD', base .. 'shelves', kind.place)
  end
end

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

local function apply(change, known, place)
  local kind, id = change.kind, change.id
  local run = known or new_run(redis.call('STRLEN', base .. 'job:' .. id) - 19)
  -- A microsecond more for each keeps jobs of the same moment in order.
  local moment = now + kind.delay + change.number
  if kind.ended then
    bytes = bytes - run[SIZE]
    leave('counted', id)
    leave('expiry', id)
  end
  if place ~= kind.place then
    move(change, run, place, moment)
  end
  if change.left then
    write_left(id, change.left, run)
  end
  if kind.kept >= -1 then
    keep(id, kind.kept, run, moment)
  end
  if kind.rewrites or change.left or not known then
    write_run(change, run)
  end
end
