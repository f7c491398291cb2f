-- Write the claims, and tell of them: see `columns`.
local function claim(reply, popped, worker, piece)
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
    taken[2 * number - 1], taken[2 * number] = id, runs[number]
  end
  redis.call('HSET', base .. 'runs', unpack(taken))
  redis.call('ZADD', base .. ARGV[2], unpack(ends))
  columns(reply, ids, runs, jobs, most)
end
