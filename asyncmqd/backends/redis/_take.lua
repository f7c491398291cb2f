-- Takes waiting jobs for turn.lua: each gets the next token and a lease.
local lease, channel, most = tonumber(ARGV[3]), ARGV[4], tonumber(ARGV[5])
-- with: _claim

-- Whether the queue is paused, and what is stored of its limits, if anything is.
local function read_brakes()
  if not plain and redis.call('EXISTS', base .. 'paused', base .. 'limits') > 0 then
    return unpack(redis.call('MGET', base .. 'paused', base .. 'limits'))
  end
end

-- Up to `limit` jobs, of which the reply tells; before them, the limits that they were judged by, packed, if
-- there are any, and in how many microseconds time alone lets more start, if they held some back.
local function take(reply, limit, worker, piece, told, unstarted)
  local paused, stored = read_brakes()
  local allowed, limits, places, bucket, purse = limit, false, false, false, false
  if stored or told ~= '' then
    limits = limited(wake, note_waiter, channel)
    reply[3], places, bucket = limits.now(stored, told, unstarted)
    allowed = math.min(places, bucket.allowed())
    purse = allowed > 0 and not paused and limits.purse(bucket)
  end
  local number = math.min(limit, allowed)
  if purse and not take_from_lanes then
    number = purse.paid(redis.call('ZRANGE', base .. ARGV[1], 0, number - 1))
  end
  local popped = not paused and number > 0
    and (take_from_lanes and take_from_lanes(number, purse) or redis.call('ZPOPMIN', base .. ARGV[1], number)) or {}
  if #popped > 0 then
    claim(reply, popped, worker, tonumber(piece))
  end
  local count = #popped / 2
  if limits then
    reply[4] = limits.note_claims(purse and 0 or count, count == limit, places - count, bucket) or false
  else
    note_waiter(count == limit, channel)
  end
end
