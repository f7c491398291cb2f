-- Say that a daemon declares schedules no more.
-- needs:
-- KEYS: the base of the queue
-- ARGV: their names
-- returns: nothing
for _, name in ipairs(ARGV) do
  local key = base .. 'schedule:' .. name
  if redis.call('EXISTS', key) == 1 then
    redis.call('HSET', key, 'seen', 0)
  end
end
