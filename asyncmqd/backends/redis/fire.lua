-- Add the job of an instant of a schedule, once for ever, and wake one waiting instance.
-- needs: _lines _blocked _overlap _large _add _wake
-- KEYS: the base of the queue
-- ARGV: name, instant (seconds), the last instant that others were counted from (may be empty),
--       what it does while the last job of the schedule is live (allow, skip, queue), how many
--       places follow, the places of ended jobs, how many reasons follow, of each: reason and how many instants were skipped for it;
--       then nothing (the instant is skipped), or a job, see _add.lua
-- returns: 2, or 1 if the instant is skipped, or 0 if it or a later one was fired, another one was
--          the last, the schedule is paused or gone, or the queue has a job of that id
local key, instant, counted = base .. 'schedule:' .. ARGV[1], ARGV[2], ARGV[3]
local known = redis.call('HMGET', key, 'last', 'paused', 'job', 'before')
if not known[1] or known[2] or tonumber(known[1]) >= tonumber(instant) then
  return 0
end
if counted ~= '' and tonumber(counted) ~= tonumber(known[1]) then
  return 0
end
local reasons = 6 + ARGV[5]
local job = reasons + 1 + 2 * ARGV[reasons]
if ARGV[job] and redis.call('EXISTS', base .. 'job:' .. ARGV[job + 2]) == 1 then
  return 0
end

local function count(reason, skipped)
  redis.call('HSET', key, 'skipped', instant, 'reason', reason)
  redis.call('HINCRBY', key, 'n:' .. reason, skipped)
end

redis.call('HSET', key, 'last', instant)
for at = reasons + 1, job - 1, 2 do
  count(ARGV[at], ARGV[at + 1])
end
if not ARGV[job] then
  return 1
end
local skipped, before = at_overlap(ARGV[4], known[3], known[4], 6, reasons - 1)
if skipped then
  count('overlap', 1)
  return 1
end
redis.call('HSET', key, 'fired', instant, 'job', ARGV[job + 2])
if before then
  redis.call('HSET', key, 'before', before)
elseif known[4] then
  redis.call('HDEL', key, 'before')
end
add(job, '', nil, before)
wake()
return 2
