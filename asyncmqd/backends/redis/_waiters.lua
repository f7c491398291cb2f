-- An instance that gets fewer than it asked for is one to wake later; one that is full is not, and
-- passes on what it leaves behind. Where no permit is left, nobody is to be woken for more jobs.
local function note_waiter(full, channel, closed)
  if closed then
    redis.call('SREM', base .. 'waiters', channel)
    if channel ~= '' and not full then
      redis.call('SADD', base .. 'held_back', channel)
    end
  elseif full and not plain then
    redis.call('SREM', base .. 'waiters', channel)
    if redis.call('EXISTS', base .. ARGV[1]) == 1
      or lanes and redis.call('EXISTS', base .. 'levels') == 1 then
      wake()
    end
  elseif not full and channel ~= '' then
    redis.call('SADD', base .. 'waiters', channel)
  end
end
