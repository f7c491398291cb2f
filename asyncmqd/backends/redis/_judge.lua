-- Whether a change may be applied to a job as it is now:
-- 0 it may, 1 it was done already, 2 it is stale, 3 there is no such job.
local now = clock()

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
