-- Say that a living daemon has these schedules. Times are in seconds.
-- needs:
-- KEYS: the base of the queue
-- ARGV: whether a differing spec replaces the stored one (0, 1), the seconds ahead of now from which
--       on a moment is not believed, the process that declares, then of each: name, spec
-- returns: now, in microseconds
local now = clock()
for at = 4, #ARGV, 2 do
  local name, spec = ARGV[at], ARGV[at + 1]
  local key = base .. 'schedule:' .. name
  local known = redis.call('HGET', key, 'spec')
  if not known then
    redis.call('SADD', base .. 'schedules', name)
    redis.call('HSET', key, 'spec', spec, 'declared', now / 1000000, 'by', ARGV[3],
      'last', now / 1000000)
  elseif ARGV[1] == '1' and known ~= spec then
    redis.call('HSET', key, 'former', known, 'former_by', redis.call('HGET', key, 'by') or '',
      'spec', spec, 'declared', now / 1000000, 'by', ARGV[3])
  end
  redis.call('HSET', key, 'seen', now / 1000000)
  for _, field in ipairs({'declared', 'last'}) do
    if tonumber(redis.call('HGET', key, field)) > now / 1000000 + ARGV[2] then
      redis.call('HSET', key, field, now / 1000000)
    end
  end
end
return now
