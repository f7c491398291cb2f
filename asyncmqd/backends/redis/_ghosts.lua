-- Claims that keep a permit of the limits of all daemons, for the code of their holders runs on.

-- A claim that was taken from its holder.
local function ghost(id, token)
  return string.format('%d:%s', token, id)
end

-- A job that leaves the active ones frees a permit, unless the code of its holder runs on.
local function keep_permit(change, lease_end, active)
  if not change.kind.takes_away then
    return change.kind.place ~= active
  end
  if redis.call('EXISTS', base .. 'limits') == 1 then
    redis.call('ZADD', base .. 'ghosts', lease_end, ghost(change.id, change.token))
  end
  return false
end

-- The holder says that its code has ended; whether that frees a permit.
local function end_ghost(change)
  return redis.call('ZREM', base .. 'ghosts', ghost(change.id, change.token)) == 1
end
