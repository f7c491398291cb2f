-- Whether a change may be applied to a job as it is now:
-- 0 it may, 1 it was done already, 2 it is stale, 3 there is no such job, 4 it is to come back, and
-- another has its unique name.
local now = clock()

local function is_name_taken(id)
  local name = name_of(id)
  if not name then
    return false
  end
  write_lines() -- the holder may have ended by a change before this one
  local holder = holder_of(name)
  return holder and holder ~= id
end

local function judge(change, run, place, score)
  if not run and not place and redis.call('EXISTS', base .. 'job:' .. change.id) == 0 then
    return 3
  elseif (run and run[TOKEN] or 0) ~= change.token then
    return 2
  elseif not place or not change.kind.sources[place] then
    return 1
  end
  if change.kind.ended then
    return is_name_taken(change.id) and 4 or 0
  end
  return change.kind.lapsed and tonumber(score) > now and 2 or 0
end
