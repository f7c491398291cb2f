-- Add the job of an instant of a schedule, once for ever, and wake one waiting instance.
-- needs: _lines _large _add _wake
-- KEYS: the base of the queue
-- ARGV: name, instant (seconds), then nothing (the instant is skipped), or a job, see _add.lua
-- returns: 1, or 0 if the instant or a later one was fired, the schedule is paused or gone, or the
--          queue has a job of that id
local key = base .. 'schedule:' .. ARGV[1]
local known = redis.call('HMGET', key, 'last', 'paused')
if not known[1] or known[2] or tonumber(known[1]) >= tonumber(ARGV[2]) then
  return 0
end
if ARGV[3] and redis.call('EXISTS', base .. 'job:' .. ARGV[5]) == 1 then
  return 0
end
redis.call('HSET', key, 'last', ARGV[2])
if ARGV[3] then
  add(3, '')
  wake()
end
return 1
