-- Read the schedules.
-- needs:
-- KEYS: the base of the queue
-- ARGV: the reasons for which instants are skipped
-- returns: of each: name, spec, declared, seen, last, paused (false or 1), by, former, former_by,
--          fired, job, before, replaced, skipped, reason, then how many were skipped for each reason of ARGV
--          (false each, if that is not known)
local fields = {'spec', 'declared', 'seen', 'last', 'paused', 'by', 'former', 'former_by',
  'fired', 'job', 'before', 'replaced', 'skipped', 'reason'}
for _, reason in ipairs(ARGV) do
  fields[#fields + 1] = 'n:' .. reason
end
local reply = {}
for _, name in ipairs(redis.call('SMEMBERS', base .. 'schedules')) do
  local found = redis.call('HMGET', base .. 'schedule:' .. name, unpack(fields))
  table.insert(found, 1, name)
  reply[#reply + 1] = found
end
return reply
