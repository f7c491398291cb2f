-- Look at jobs in a place, one after the other, for what is sought.
-- needs: _parked _names _records _position _sought
-- KEYS: the base of the queue
-- ARGV: place, whether further places follow (0, 1), whether to begin at the end (0, 1), place, score and id of
--       the job behind which to begin (empty: at the first), how many to look at, how many to find; what
--       occurs in the first bytes of the payload, how many these are, the key, what occurs in the
--       error, until when it was added (all may be empty); the bytes of a string, at most
-- returns: how many it looked at, the records, see _records.lua; if more jobs follow, place, score
--          and id of the last one that it looked at
local backwards, left, most = ARGV[3] == '1', tonumber(ARGV[7]), tonumber(ARGV[8])
local added_until = tonumber(ARGV[13])
local looked, ids, where, scores, mark = 0, {}, {}, {}, nil

-- Look at the jobs of one place; whether more of them follow.
local function look(place, score, after)
  local found = ids_behind(base .. place, score, after, left + 1, backwards)
  for at = 1, #found, 2 do
    if left == 0 or #ids == most then
      return true
    end
    left, looked, mark = left - 1, looked + 1, {place, found[at + 1], found[at]}
    if has_all(found[at], ARGV[9], ARGV[10], ARGV[11], ARGV[12], added_until) then
      ids[#ids + 1], where[#ids + 1], scores[#ids + 1] = found[at], place, found[at + 1]
    end
  end
  return false
end

local begun, follow = ARGV[4] == '', false
for _, place in ipairs(ARGV[2] == '1' and with_waiting({ARGV[1]}) or {ARGV[1]}) do
  local here = place == ARGV[4]
  -- The place of the mark may be empty by now: what follows are the parked jobs of later names.
  begun = begun or here or place:find(':', 1, true) and (ARGV[4] == 'keyed' or precedes(ARGV[4], place))
  if begun and not follow then
    follow = look(place, here and ARGV[5], here and ARGV[6])
  end
end
local reply = {looked, read_records(ids, where, scores, ARGV[14])}
if follow then
  reply[3], reply[4], reply[5] = unpack(mark or {ARGV[4], ARGV[5], ARGV[6]})
end
return reply
