-- Look at jobs in a place, one after the other, for what is sought.
-- needs: _parked _names _records
-- KEYS: the base of the queue
-- ARGV: place, whether further places follow (0, 1), whether to begin at the end (0, 1), place, score and id of
--       the job behind which to begin (empty: at the first), how many to look at, how many to find; what
--       occurs in the first bytes of the payload, how many these are, the key, what occurs in the
--       error, until when it was added (all may be empty)
-- returns: how many it looked at, the records, see _records.lua; if more jobs follow, place, score
--          and id of the last one that it looked at
local backwards, left, most = ARGV[3] == '1', tonumber(ARGV[7]), tonumber(ARGV[8])
local head, last_byte, key, failure, added_until = ARGV[9], 18 + ARGV[10], ARGV[11], ARGV[12], tonumber(ARGV[13])

-- Bytes, for `<` goes by the server's locale.
local function precedes(one, other)
  for at = 1, math.min(#one, #other) do
    local a, b = one:byte(at), other:byte(at)
    if a ~= b then
      return a < b
    end
  end
  return #one < #other
end

-- How many jobs stand before this one, and how many up to it. It may have gone since.
local function position(place, score, id)
  local known = redis.call('ZSCORE', place, id)
  if known and tonumber(known) == tonumber(score) then
    local rank = redis.call('ZRANK', place, id)
    return rank, rank + 1
  end
  local low = redis.call('ZCOUNT', place, '-inf', '(' .. score)
  local high = redis.call('ZCOUNT', place, '-inf', score)
  while low < high do
    local middle = math.floor((low + high) / 2)
    if precedes(redis.call('ZRANGE', place, middle, middle)[1], id) then
      low = middle + 1
    else
      high = middle
    end
  end
  return low, low
end

-- Ids and scores of the next jobs in a place, one more than are to be looked at.
local function next_jobs(place, score, id)
  local size = redis.call('ZCARD', base .. place)
  local before, behind = size, 0
  if score then
    before, behind = position(base .. place, score, id)
  end
  if not backwards then
    return redis.call('ZRANGE', base .. place, behind, behind + left, 'WITHSCORES')
  elseif before == 0 then
    return {}
  end
  return redis.call('ZREVRANGE', base .. place, size - before, size - before + left, 'WITHSCORES')
end

local function has_all(id)
  if key ~= '' and redis.call('HGET', base .. 'keys', id) ~= key then
    return false
  end
  if added_until or head ~= '' then
    local string = redis.pcall('GETRANGE', base .. 'job:' .. id, 0, head == '' and 15 or last_byte)
    string = type(string) == 'string' and string or ''
    if added_until and (tonumber(string:sub(1, 16)) or 0) > added_until
      or head ~= '' and not string:find(head, 20, true) then
      return false
    end
  end
  return failure == '' or (redis.call('HGET', base .. 'left:' .. id, 'error') or ''):find(failure, 1, true)
end

local begun = ARGV[4] == ''
local looked, ids, where, scores, mark = 0, {}, {}, {}, nil

-- Look at the jobs of one place; whether more of them follow.
local function look(place, score, after)
  local found = next_jobs(place, score, after)
  for at = 1, #found, 2 do
    if left == 0 or #ids == most then
      return true
    end
    left, looked, mark = left - 1, looked + 1, {place, found[at + 1], found[at]}
    if has_all(found[at]) then
      ids[#ids + 1], where[#ids + 1], scores[#ids + 1] = found[at], place, found[at + 1]
    end
  end
  return false
end

local follow = false
for _, place in ipairs(ARGV[2] == '1' and with_waiting({ARGV[1]}) or {ARGV[1]}) do
  local here = place == ARGV[4]
  -- The place of the mark may be empty by now: what follows are the parked jobs of later names.
  begun = begun or here or place:find(':', 1, true) and (ARGV[4] == 'keyed' or precedes(ARGV[4], place))
  if begun and not follow then
    follow = look(place, here and ARGV[5], here and ARGV[6])
  end
end
local reply = {looked, read_records(ids, where, scores)}
if follow then
  reply[3], reply[4], reply[5] = unpack(mark or {ARGV[4], ARGV[5], ARGV[6]})
end
return reply
