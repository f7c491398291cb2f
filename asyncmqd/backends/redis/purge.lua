-- Delete a page of the jobs in a place, the first ones first.
-- needs: _lines _keep
-- KEYS: the base of the queue
-- ARGV: place, page, whether shelves follow (0, 1)
-- returns: how many were deleted
local left = tonumber(ARGV[2])
local places = ARGV[3] == '1' and shelves() or {}
table.insert(places, 1, ARGV[1])
for _, place in ipairs(places) do
  local ids = left > 0 and redis.call('ZRANGE', base .. place, 0, left - 1) or {}
  for _, id in ipairs(ids) do
    delete(id, place)
  end
  left = left - #ids
end
return ARGV[2] - left
