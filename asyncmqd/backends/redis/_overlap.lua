-- What an instant does beside a job of its schedule that has not ended.

-- `from` and `to`: where the places of ended jobs stand in ARGV.
local function is_live(id, from, to)
  if not id or redis.call('EXISTS', base .. 'job:' .. id) == 0 then
    return false
  end
  for at = from, to do
    if redis.call('ZSCORE', base .. ARGV[at], id) then
      return false
    end
  end
  return true
end

-- Whether the instant is skipped, and the id of the job that its own has to wait for, if there is one:
-- see domain/overlap.py.
local function at_overlap(overlap, last, before, from, to)
  local live = is_live(last, from, to) and last or is_live(before, from, to) and before
  if overlap == 'allow' or not live then
    return false
  elseif overlap == 'skip' or redis.call('ZSCORE', base .. BLOCKED, live) then
    return true
  end
  return false, live
end
