-- Bring parked jobs back to where they stood, and wake one waiting instance.
-- needs: _lanes _lines _lane_moves _wake
-- KEYS: the base of the queue
-- ARGV: waiting place, page, then the places of parked jobs, by name
-- returns: how many were moved
local page, moved = tonumber(ARGV[2]), 0
for number = 3, #ARGV do
  local place = ARGV[number]
  local last = page - moved - 1
  local found = last >= 0 and redis.call('ZRANGE', base .. place, 0, last, 'WITHSCORES') or {}
  for at = 1, #found, 2 do
    leave(place, found[at])
    enter(ARGV[1], found[at + 1], found[at])
    moved = moved + 1
  end
end
write_lines()
if moved > 0 then
  wake()
end
return moved
