-- A new job whose name is held: its payload and options may come in the place of the holder's.

-- Move a delayed job to its new time, or have it wait at once if that is no later than now.
local function push_to(id, waiting, delayed, due)
  if due > clock() then
    enter(delayed, due, id)
  else
    leave(delayed, id)
    enter(waiting, tail(id), id)
  end
end

-- Put another payload in the place of a job's.
local function rewrite(holder, mark, at, created)
  local key, part = base .. 'job:' .. holder, base .. mark .. ARGV[at]
  if mark ~= '' and ARGV[at + 3] == mark then
    check_sent_ahead(at, mark)
    redis.call('RENAME', part, key)
    redis.call('PERSIST', key)
    redis.call('SETRANGE', key, 0, created .. ARGV[at + 1])
  else
    redis.call('SET', key, created .. ARGV[at + 1] .. ARGV[at + 3])
  end
end

-- Whether that was done. `at`: where the new job stands in ARGV, behind the waiting and the delayed place.
local function replace(holder, mark, at, push, push_for, cost)
  if not is_live(holder) or not is_replaceable(holder) then
    return false
  end
  local created, size = redis.call('GETRANGE', base .. 'job:' .. holder, 0, 15), string_size(holder)
  rewrite(holder, mark, at, created)
  local run = read_runs({holder})[1]
  if run then -- it had ended before its first claim
    run[SIZE] = run[SIZE] + string_size(holder) - size
    redis.call('HSET', base .. 'runs', holder, cmsgpack.pack(run))
  end
  redis.call('HDEL', base .. 'costs', holder)
  note_cost(holder, cost)
  local waiting, delayed = ARGV[at - 2], ARGV[at - 1]
  local where, scores = locate({holder}, {waiting, 'keyed', delayed})
  if where[1] == delayed and push then
    local due = math.min(clock() + ARGV[at + 2], tonumber(created) + push_for)
    push_to(holder, waiting, delayed, due)
  elseif where[1] and where[1] ~= delayed then
    leave(where[1], holder)
    enter(waiting, ARGV[at + 1] * 2 ^ 44 + scores[1] % 2 ^ 44, holder)
  end
  write_lines()
  if lanes then
    lanes.forget_idle()
  end
  wake()
  return true
end
