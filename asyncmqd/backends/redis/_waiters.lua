-- Who is woken for what a claim leaves behind. An instance that gets fewer than it asked for is one to
-- wake later; one that is full is not, and passes on what it leaves behind.

-- Where limits of all daemons are in force, those who find no permit are woken for none.
local function note_limited(full, channel, left)
  if left > 0 then
    open_gate()
  end
  if left > 0 or channel == '' then
    return
  end
  redis.call('SREM', base .. 'waiters', channel)
  if not full then
    redis.call('SADD', base .. 'held_back', channel)
  end
end

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
