-- Note what happened to a queue in a minute, and once that is over, how full the queue is.
-- needs: _parked _periods _history_lists _queue_sizes
-- KEYS: the base of the queue
-- ARGV: the minute, the period that a process has counted (packed, or empty), whether the minute is over
--       (0, 1), microseconds of a minute, how many minutes stand alone, are half an hour, and are kept, how many
--       priorities are looked at, the ended places, of what was added and of these the numbers among the counts
-- returns: now, in microseconds
-- `passed` has how many jobs were deleted, and how many have left each ended place; `totals` is what was
-- noted last, see `count_totals`.
local minute, now = tonumber(ARGV[1]), clock()
local alone, half_hour, kept, priorities = unpack(ARGV, 5, 8)
local latest = math.floor(now / ARGV[4]) + half_hour -- what is later was noted before the clock was set back
local ended, numbers = {unpack(ARGV, 9, 12)}, {unpack(ARGV, 13)}

-- What the queue itself tells of the minute; nothing if somebody has had it tell already.
local function look()
  local before = read_packed('GET', base .. 'totals') or {0}
  if before[1] >= minute and before[1] <= latest then
    return
  end
  local places = sizes(ended)
  local totals = count_totals(minute, places, ended)
  local counts = counts_since(before, totals, numbers)
  local age = now - oldest('keyed', oldest(WAITING, now, priorities), priorities)
  local levels = {
    places[WAITING], places[DELAYED], places[ACTIVE], places[FAILED], math.floor(age / 1e6 + 0.5)}
  if math.max(unpack(counts)) > 0 or math.max(unpack(levels)) > 0 then
    redis.call('SET', base .. 'totals', cmsgpack.pack(totals))
    return {minute, counts, levels, {}, {}}
  end
end

local period = ARGV[2] ~= '' and cmsgpack.unpack(ARGV[2])
local seen = ARGV[3] == '1' and look()
if seen then
  period = period and join(period, seen) or seen
end
if period then
  put(base .. 'minutes', period, latest)
  take_old(base .. 'minutes', minute - alone, function(old)
    old[MINUTE] = old[MINUTE] - old[MINUTE] % half_hour
    put(base .. 'half_hours', old, latest)
  end)
  take_old(base .. 'half_hours', minute - kept, function() end)
  redis.call('EXPIRE', base .. 'minutes', kept * 60)
  redis.call('EXPIRE', base .. 'half_hours', kept * 60)
end
return now
