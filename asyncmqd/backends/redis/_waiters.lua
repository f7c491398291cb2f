-- An instance that gets fewer than it asked for is one to wake later; one that is full is not, and
-- passes on what it leaves behind. Where no permit is left, nobody is to be woken for more jobs.
local sign_up = '' -- what the worker of this turn says who waits for a job, see signing_up.py

local function waits_no_more(channel)
  if redis.call('SREM', base .. 'waiters', channel) == 1 then
    redis.call('HDEL', base .. 'offers', channel)
  end
end

local function note_waiter(full, channel, closed)
  if closed then
    waits_no_more(channel)
    if channel ~= '' and not full then
      redis.call('SADD', base .. 'held_back', channel)
    end
  elseif full and not plain then
    waits_no_more(channel)
    if redis.call('EXISTS', base .. ARGV[1]) == 1
      or lanes and redis.call('EXISTS', base .. 'levels') == 1 then
      wake()
    end
  elseif not full and channel ~= '' then
    redis.call('SADD', base .. 'waiters', channel)
    if sign_up ~= '' then
      redis.call('HSET', base .. 'offers', channel, sign_up)
    end
  end
end
