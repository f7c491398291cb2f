-- Delete a page of the jobs in a place, the first ones first.
-- needs: _runs _lanes _lines _lane_moves _laned _key_permits _parked _tell _wake _ghosts _names _keys _dependencies _deleted_counts _delete _deleted
-- KEYS: the base of the queue
-- ARGV: place, page, whether it is an ended one (0, 1), whether parked jobs follow (0, 1), active place
-- returns: how many were deleted
local page, found, where = tonumber(ARGV[2]), {}, {}
for _, place in ipairs(ARGV[4] == '1' and with_waiting({ARGV[1]}) or {ARGV[1]}) do
  local last = page - #found - 1
  for _, id in ipairs(last >= 0 and redis.call('ZRANGE', base .. place, 0, last) or {}) do
    found[#found + 1], where[#found + 1] = id, place
  end
end
delete(found, where, ARGV[3] == '1' and {[ARGV[1]] = true} or {}, ARGV[5])
free_others(found)
return #found
