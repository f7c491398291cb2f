-- Read a page of the jobs in a place.
-- needs: _parked _names _records
-- KEYS: the base of the queue
-- ARGV: place, offset, limit, whether to begin at the end (0, 1), whether parked jobs follow (0, 1),
--       the bytes of a string, at most
-- returns: records, see _records.lua
local offset, left = tonumber(ARGV[2]), tonumber(ARGV[3])
local range = ARGV[4] == '1' and 'ZREVRANGE' or 'ZRANGE'
local ids, where, scores = {}, {}, {}
for _, place in ipairs(ARGV[5] == '1' and with_waiting({ARGV[1]}) or {ARGV[1]}) do
  local found = left > 0
    and redis.call(range, base .. place, offset, offset + left - 1, 'WITHSCORES') or {}
  for at = 1, #found, 2 do
    ids[#ids + 1], where[#ids + 1], scores[#ids + 1] = found[at], place, found[at + 1]
  end
  left = left - #found / 2
  offset = math.max(0, offset - redis.call('ZCARD', base .. place))
end
return read_records(ids, where, scores, ARGV[6])
