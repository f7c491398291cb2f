-- New jobs whose payloads were sent ahead, each to the key `<mark><id>`, see large_payloads.py.

-- Before anything is written: a script that fails in its middle leaves half of it behind.
local function check_sent_ahead(at, mark)
  for arg = at, #ARGV, 4 do
    local part, key = base .. mark .. ARGV[arg], base .. 'job:' .. ARGV[arg]
    if ARGV[arg + 3] == mark and redis.call('EXISTS', part, key) == 0 then
      error('a payload that was sent ahead is gone: no job was added')
    end
  end
end

-- A payload that was sent ahead becomes the string of its job.
local function rename(part, key, head)
  if redis.call('EXISTS', key) == 1 then
    redis.call('DEL', part)
    return 0
  end
  redis.call('RENAME', part, key)
  redis.call('PERSIST', key)
  redis.call('SETRANGE', key, 0, head)
  return 1
end

-- One job whose id may be known.
local function file(arg, mark, key, string)
  if mark ~= '' and ARGV[arg + 3] == mark then
    return rename(base .. mark .. ARGV[arg], key, string:sub(1, 19))
  end
  return redis.call('SETNX', key, string)
end
