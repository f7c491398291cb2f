-- Takes waiting jobs for turn.lua: each gets the next token and a lease.

-- The claims, as three columns, for a table of each would cost more than what is in it: ids, runs and
-- strings of the jobs; then the limits that they were judged by, packed, if there are any, and in how
-- many microseconds time alone lets more start, if they held some back.
local function take(limit, unstarted)
  local lease, worker, channel = unpack(ARGV, 4, 6)
  local most, piece = tonumber(ARGV[7]), tonumber(ARGV[8])
  local paused, stored = false, false
  if redis.call('EXISTS', base .. 'paused', base .. 'limits') > 0 then
    paused, stored = unpack(redis.call('MGET', base .. 'paused', base .. 'limits'))
  end
  local allowed, limits, packed, places, bucket, purse = limit, false, false, false, false, false
  if stored or ARGV[9] ~= '' then
    limits = limited(wake, note_waiter)
    packed, places, bucket = limits.now(stored, ARGV[9], unstarted)
    allowed = math.min(places, bucket.allowed())
    purse = allowed > 0 and not paused and limits.purse(bucket)
  end
  local number = math.min(limit, allowed)
  if purse and not take_from_lanes then
    number = purse.paid(redis.call('ZRANGE', base .. ARGV[1], 0, number - 1))
  end
  local popped = not paused and number > 0
    and (take_from_lanes and take_from_lanes(number, purse) or redis.call('ZPOPMIN', base .. ARGV[1], number)) or {}
  local ids, ends, taken = {}, {}, {}
  for at = 1, #popped, 2 do
    ids[#ids + 1], ends[at], ends[at + 1] = popped[at], now + lease + at, popped[at]
  end
  local runs, jobs, first = read_runs(ids), read_jobs(ids, piece), first_run(now, worker)
  for number, id in ipairs(ids) do
    local run, job, order = runs[number], jobs[number], tonumber(popped[2 * number])
    if run then
      run[TOKEN], run[ORDER] = run[TOKEN] + 1, order
      run[STARTED], run[WORKER] = now, worker
    end
    runs[number] = run and cmsgpack.pack(run) or first(order, #job == piece and string_size(id) or #job)
    jobs[number], taken[2 * number - 1], taken[2 * number] = cut(job, most), id, runs[number]
  end
  if #ids > 0 then
    redis.call('HSET', base .. 'runs', unpack(taken))
    redis.call('ZADD', base .. ARGV[2], unpack(ends))
  end
  local full = #ids == limit
  if not limits then
    note_waiter(full, channel)
    return ids, runs, jobs
  end
  return ids, runs, jobs, packed, limits.note_claims(purse and 0 or #ids, full, places - #ids, bucket)
end
