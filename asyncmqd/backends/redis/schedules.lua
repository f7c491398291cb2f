-- Read the schedules.
-- needs:
-- KEYS: the base of the queue
-- returns: of each: name, spec, declared, seen, last, paused (false or 1), by, former, former_by
--          (false each, if that is not known)
local reply = {}
for _, name in ipairs(redis.call('SMEMBERS', base .. 'schedules')) do
  local found = redis.call(
    'HMGET', base .. 'schedule:' .. name, 'spec', 'declared', 'seen', 'last', 'paused', 'by',
    'former', 'former_by')
  table.insert(found, 1, name)
  reply[#reply + 1] = found
end
return reply
