-- A claim that was taken from its holder keeps its permit of the limits of all daemons until its lease
-- ends: whether it does. Without `lease_end` the holder says that its code has ended: whether that frees a permit.
local function ghost(id, token, lease_end)
  local member = string.format('%d:%s', token, id)
  if not lease_end then
    local ended = redis.call('ZREM', base .. 'ghosts', member) == 1
    if ended and lanes then
      lanes.forget_ghosts({member})
    end
    return ended
  elseif redis.call('EXISTS', base .. 'limits') == 1 then
    redis.call('ZADD', base .. 'ghosts', lease_end, member)
    if lanes then
      lanes.haunt(id, member, lease_end)
    end
    return true
  end
end
