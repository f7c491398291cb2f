-- Wake one idle instance, or all of them. Each listens on a channel of its own, and is told the base of the
-- queue. A channel that nobody hears is a dead one's: the next is tried. PUBLISH counts those as well who listen
-- to all channels: a monitor would stand for everybody who is gone. Where the user may not publish, what was
-- written stands all the same; `unheard` says why.
local unheard = ''

local function wake(all)
  local channel = redis.call('SPOP', base .. 'waiters')
  while channel do
    local heard = redis.pcall('PUBLISH', channel, base)
    if type(heard) == 'table' then
      redis.call('SADD', base .. 'waiters', channel)
      unheard = heard.err
      return
    end
    redis.call('HDEL', base .. 'offers', channel)
    if heard > 0 and not all and redis.pcall('PUBSUB', 'NUMSUB', channel)[2] ~= 0 then
      return
    end
    channel = redis.call('SPOP', base .. 'waiters')
  end
end
