-- Add the job of an instant of a schedule, once for ever, and wake one waiting instance.
-- needs: _lines _large _add _wake
-- KEYS: the base of the queue
-- ARGV: name, instant (seconds), the last instant that others were counted from (may be empty), how
--       many places follow, the places of ended jobs (none: the last job of the schedule may be
--       live), how many reasons follow, of each: reason and how many instants were skipped for it;
--       then nothing (the instant is skipped), or a job, see _add.lua
-- returns: 2, or 1 if the instant is skipped, or 0 if it or a later one was fired, another one was
--          the last, the schedule is paused or gone, or the queue has a job of that id
local key, instant, counted = base .. 'schedule:' .. ARGV[1], ARGV[2], ARGV[3]
local known = redis.call('HMGET', key, 'last', 'paused', 'job')
if not known[1] or known[2] or tonumber(known[1]) >= tonumber(instant) then
  return 0
end
if counted ~= '' and tonumber(counted) ~= tonumber(known[1]) then
  return 0
end
local reasons = 5 + ARGV[4]
local job = reasons + 1 + 2 * ARGV[reasons]
if ARGV[job] and redis.call('EXISTS', base .. 'job:' .. ARGV[job + 2]) == 1 then
  return 0
end

local function count(reason, skipped)
  redis.call('HSET', key, 'skipped', instant, 'reason', reason)
  redis.call('HINCRBY', key, 'n:' .. reason, skipped)
end

local function last_is_live()
  if ARGV[4] == '0' or not known[3] or redis.call('EXISTS', base .. 'job:' .. known[3]) == 0 then
    return false
  end
  for at = 5, reasons - 1 do
    if redis.call('ZSCORE', base .. ARGV[at], known[3]) then
      return false
    end
  end
  return true
end

redis.call('HSET', key, 'last', instant)
for at = reasons + 1, job - 1, 2 do
  count(ARGV[at], ARGV[at + 1])
end
if not ARGV[job] then
  return 1
end
if last_is_live() then
  count('overlap', 1)
  return 1
end
redis.call('HSET', key, 'fired', instant, 'job', ARGV[job + 2])
add(job, '')
wake()
return 2
