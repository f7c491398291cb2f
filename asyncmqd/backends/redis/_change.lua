-- One change to one job: what becomes of it, and then the writing.
local now, bytes, packed = clock(), 0, {}

-- 0 it can be applied, 1 it was done already, 2 it is stale, 3 there is no such job.
local function judge(change, run, place, score)
  if not run and not place and redis.call('EXISTS', base .. 'job:' .. change.id) == 0 then
    return 3
  elseif (run and run[TOKEN] or 0) ~= change.token then
    return 2
  elseif not place or not change.edge.sources[place] then
    return 1
  end
  return change.lapsed and tonumber(score) > now and 2 or 0
end

local function move(change, run, place)
  local score = now + change.delay
  if change.edge.rank == 'tail' then
    score = tail(change.id)
  elseif change.edge.rank == 'kept' then
    score = run[ORDER]
  end
  leave(place, change.id)
  enter(change.place, score, change.id)
  if change.shelf then
    redis.call('SADD', base .. 'shelves', change.place)
  end
end

-- Write error, result or progress. The first two are part of the job's size.
local function write_left(change, run)
  local key = base .. 'left:' .. change.id
  for at = 1, #change.left, 2 do
    local field, value = change.left[at], change.left[at + 1]
    if field ~= 'progress' then
      run[SIZE] = run[SIZE] + #value - redis.call('HSTRLEN', key, field)
    end
  end
  redis.call('HSET', key, unpack(change.left))
end

-- Keep an ended job until a time, or by number.
local function keep(change, run)
  bytes = bytes + run[SIZE]
  if change.kept < 0 then
    enter('counted', now + change.delay, change.id)
  else
    enter('expiry', now + change.delay + change.kept, change.id)
  end
end

local function apply(change, run, place)
  local known = run
  run = run or new_run(redis.call('STRLEN', base .. 'job:' .. change.id) - 19)
  if change.edge.ended then
    bytes = bytes - run[SIZE]
    leave('counted', change.id)
    leave('expiry', change.id)
  end
  if place ~= change.place then
    move(change, run, place)
  end
  for field, value in pairs(change.run) do
    run[field] = value
  end
  if #change.left > 0 then
    write_left(change, run)
  end
  if change.kept >= -1 then
    keep(change, run)
  end
  if not known or next(change.run) or #change.left > 0 then
    packed[#packed + 1], packed[#packed + 2] = change.id, cmsgpack.pack(run)
  end
end
