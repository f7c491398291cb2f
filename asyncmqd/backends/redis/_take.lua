-- Takes waiting jobs for turn.lua: each gets the next token and a lease. An instance that gets fewer
-- than it asked for is one to wake later; one that is full is not, and passes on what it leaves behind.
local function note_waiter(full, channel)
  if full then
    redis.call('SREM', base .. 'waiters', channel)
    if redis.call('EXISTS', base .. ARGV[1]) == 1 then
      wake()
    end
  elseif channel ~= '' then
    redis.call('SADD', base .. 'waiters', channel)
  end
end

local function length_of(claim, piece)
  if claim[3] and #claim[3] < (tonumber(piece) or math.huge) then
    return #claim[3]
  end
  return redis.call('STRLEN', base .. 'job:' .. claim[1])
end

-- The claims: id, run, string of the job.
local function take(limit)
  local lease, worker, channel, most, piece = unpack(ARGV, 4, 8)
  local paused = redis.call('EXISTS', base .. 'paused') == 1
  local popped = paused and {} or redis.call('ZPOPMIN', base .. ARGV[1], limit)
  local ids, ends, taken = {}, {}, {}
  for at = 1, #popped, 2 do
    ids[#ids + 1], ends[at], ends[at + 1] = popped[at], now + lease + at, popped[at]
  end
  local claims = read_claims(ids, read_runs(ids), tonumber(piece))
  for number, claim in ipairs(claims) do
    local run = claim[2] or new_run(length_of(claim, piece) - 19)
    run[TOKEN], run[ORDER] = run[TOKEN] + 1, tonumber(popped[2 * number])
    run[STARTED], run[WORKER] = now, worker
    claim[2], claim[3] = cmsgpack.pack(run), cut(claim[3], most)
    taken[2 * number - 1], taken[2 * number] = claim[1], claim[2]
  end
  if #ids > 0 then
    redis.call('HSET', base .. 'runs', unpack(taken))
    redis.call('ZADD', base .. ARGV[2], unpack(ends))
  end
  note_waiter(#ids == limit, channel)
  return claims
end
