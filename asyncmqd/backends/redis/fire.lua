-- Add the job of an instant of a schedule, once for ever, and wake one waiting instance.
-- needs: _runs _laning _lanes _lines _lane_moves _laned _keys _key_permits _parked _wake _tell _names _judge _attempts _write _dependencies _change _ghosts _costs _blocked _overlap _supersede _large_payloads _add
-- KEYS: the base of the queue
-- ARGV: name, instant (seconds), the last instant that others were counted from (may be empty),
--       what it does while the last job of the schedule is live (allow, skip, queue, replace), the place of
--       cancelled jobs, how long one is kept that is replaced (microseconds) and its error, the key of the
--       new one (may be empty), what it costs, how many reasons follow, of each: its name, how many
--       instants it skips; then nothing (the instant is skipped), or a job, see _add.lua
-- returns: 2, or 3 if the last job was cancelled, or 1 if the instant is skipped, or 0 if nothing was done
local key, instant, counted = base .. 'schedule:' .. ARGV[1], ARGV[2], ARGV[3]
local known = redis.call('HMGET', key, 'last', 'paused', 'job', 'before')
if not known[1] or known[2] or tonumber(known[1]) >= tonumber(instant) then
  return 0
end
if counted ~= '' and tonumber(counted) ~= tonumber(known[1]) then
  return 0
end
local reasons = 10
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
local skipped, before, cancels = at_overlap(ARGV[4], known[3], known[4])
if skipped then
  count('overlap', 1)
  return 1
end
if #cancels > 0 then
  before = supersede(cancels, ARGV[5], ARGV[6], ARGV[7], before)
  redis.call('HINCRBY', key, 'replaced', #cancels)
end
redis.call('HSET', key, 'fired', instant, 'job', ARGV[job + 2])
if before then
  redis.call('HSET', key, 'before', before)
elseif known[4] then
  redis.call('HDEL', key, 'before')
end
add(job, '', ARGV[8] ~= '' and {ARGV[8]}, before)
note_cost(ARGV[job + 2], ARGV[9])
if lanes then lanes.forget_idle() end
wake()
return #cancels > 0 and 3 or 2
