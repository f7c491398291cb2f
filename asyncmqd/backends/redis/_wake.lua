-- Wake one idle instance, or all of them. Each listens on a channel of its own, and is told the base
-- of the queue. A channel that nobody hears is a dead one's: the next is tried.
local function wake(all)
  local channel = redis.call('SPOP', base .. 'waiters')
  while channel do
    if redis.call('PUBLISH', channel, base) > 0 and not all then
      return
    end
    channel = redis.call('SPOP', base .. 'waiters')
  end
end
