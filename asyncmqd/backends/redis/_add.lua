-- File new jobs, in order, behind the others of their priority, or with a delay (microseconds) among
-- the delayed ones. ARGV from `at` on: waiting place, delayed place, then of each job: id, priority
-- (3 digits), delay, payload. A payload that is the very `mark`, if there is one, was sent ahead to
-- the key `<mark><id>`, see large_payloads.py. Of each job 1, or 0 if the queue has its id already.

-- The strings of the jobs as arguments of MSETNX, and whether an id comes twice.
local function job_strings(at, now)
  local strings, seen, twice = {}, {}, false
  for arg = at, #ARGV, 4 do
    local id = ARGV[arg]
    twice, seen[id] = twice or seen[id], true
    -- A microsecond more for each keeps jobs of the same delay in order.
    local added = string.format('%016d', now + (arg - at) / 4)
    strings[#strings + 1] = base .. 'job:' .. id
    strings[#strings + 1] = added .. ARGV[arg + 1] .. ARGV[arg + 3]
  end
  return strings, twice
end

-- `keys` has the key of each job, or an empty one; nil if none has one. Jobs are blocked until the one
-- called `after`, if any, has ended.
local function add(at, mark, keys, after)
  local waiting, delayed, first, now = ARGV[at], ARGV[at + 1], at + 2, clock()
  local strings, twice = job_strings(first, now)
  if mark ~= '' then
    check_sent_ahead(first, mark)
  end
  local count, answers, keyed = #strings / 2, {}, {}
  -- Ids are hardly ever known already: one command for all, and one for each only if that fails.
  local fresh = not twice and mark == '' and redis.call('MSETNX', unpack(strings)) == 1
  local before = redis.call('INCRBY', base .. 'seq', count) - count
  for number = 1, count do
    local arg, key = first + 4 * number - 4, strings[2 * number - 1]
    local delay = tonumber(ARGV[arg + 2])
    answers[number] = fresh and 1 or file(arg, mark, key, strings[2 * number])
    if keys and answers[number] == 1 and keys[number] ~= '' then
      keyed[#keyed + 1], keyed[#keyed + 2] = ARGV[arg], keys[number]
    end
    if answers[number] == 1 and after then
      block(ARGV[arg], after, now + number - 1 + delay)
    elseif answers[number] == 1 and delay > 0 then
      enter(delayed, now + number - 1 + delay, ARGV[arg])
    elseif answers[number] == 1 then
      local score = ARGV[arg + 1] * 2 ^ 44 + before + number
      enter(waiting, score, ARGV[arg], keys and keys[number] or '')
    end
  end
  write_lines()
  if #keyed > 0 then
    note_keys(keyed)
  end
  return answers
end
