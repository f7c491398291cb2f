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

-- The claims: id, run, string of the job.
local function take(limit)
  local lease, worker, channel, most = unpack(ARGV, 4, 7)
  local piece = tonumber(ARGV[8])
  local paused = redis.call('EXISTS', base .. 'paused') == 1
  local popped = paused and {} or redis.call('ZPOPMIN', base .. ARGV[1], limit)
  local ids, ends, taken = {}, {}, {}
  for at = 1, #popped, 2 do
    ids[#ids + 1], ends[at], ends[at + 1] = popped[at], now + lease + at, popped[at]
  end
  local claims = read_claims(ids, read_runs(ids), piece)
  for number, claim in ipairs(claims) do
    local size = #claim[3] == piece and string_size(claim[1]) or #claim[3]
    local run = claim[2] or new_run(size - 19)
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
