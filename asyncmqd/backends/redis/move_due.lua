-- Promote delayed jobs whose time has come, earliest first, and wake one waiting instance.
-- needs: _lanes _lines _lane_moves _wake
-- KEYS: the base of the queue
-- ARGV: delayed place, waiting place, page
-- returns: how many were moved
local due = redis.call('ZRANGEBYSCORE', base .. ARGV[1], '-inf', clock(), 'LIMIT', 0, ARGV[3])
for _, id in ipairs(due) do
  leave(ARGV[1], id)
  enter(ARGV[2], tail(id), id)
end
write_lines()
if #due > 0 then
  wake()
end
return #due
