-- One change to one job.
local function move(change, run, place, moment)
  local kind, score = change.kind, moment
  if kind.rank == 'tail' then
    score = tail(change.id)
  elseif kind.rank == 'kept' then
    score = run[ORDER]
  end
  leave(place, change.id)
  enter(kind.place, score, change.id)
  if kind.parks then
    redis.call('SADD', base .. 'shelves', kind.place)
  end
end

local function apply(change, known, place)
  local kind, id = change.kind, change.id
  local run = known or new_run(string_size(id) - 19)
  -- A microsecond more for each keeps jobs of the same moment in order.
  local moment = now + kind.delay + change.number
  if kind.ended then
    bytes = bytes - run[SIZE]
    redis.call('HINCRBY', base .. 'passed', place, 1)
    leave('counted', id)
    leave('expiry', id)
    retake_name(id)
    if redis.call('EXISTS', base .. 'job:' .. id) == 1 then
      redis.pcall('SETRANGE', base .. 'job:' .. id, 0, string.format('%016d', now))
    end
  end
  if place ~= kind.place then
    move(change, run, place, moment)
  end
  if place == ACTIVE and place ~= kind.place and kind.kept < -1 and has_names() then
    write_lines() -- others may have ended, or been claimed
    retake_name(id)
  end
  if change.left then
    write_left(id, change.left, run)
  end
  if kind.kept >= -1 then
    keep(id, kind.kept, run, moment)
    if edges then
      edges.settle({id})
    end
  end
  if kind.rewrites or change.left or not known then
    write_run(change, run)
  end
end
