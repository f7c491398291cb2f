-- The permits of keys: which jobs of each key are active, and which of its ghosts keep one.
if lanes then
  local touched, unstarted = {}, {}

  -- Jobs are active no more, some of which have a key. Which keys that may open is asked where one is closed.
  function lanes.let_go(ids)
    local members, closed = {}, redis.call('EXISTS', base .. 'closed') == 1 or nil
    for number, key in ipairs(redis.call('HMGET', base .. 'keys', unpack(ids))) do
      if key then
        touched[key], members[#members + 1] = closed or touched[key], key .. '\0' .. ids[number]
      end
    end
    if #members > 0 then
      redis.call('ZREM', base .. 'held', unpack(members))
    end
  end

  -- It did not even start, though it was `claimed`: when, and for how many tokens.
  function lanes.note_unstarted(id, claimed)
    unstarted[#unstarted + 1] = {redis.call('HGET', base .. 'keys', id), claimed}
  end

  -- A claim was taken from its holder, until the end of its lease.
  function lanes.haunt(id, ghost, lease_end)
    local key = redis.call('HGET', base .. 'keys', id)
    if key then
      redis.call('HSET', base .. 'ghost_keys', ghost, key)
      redis.call('ZADD', base .. 'held', 0, key .. '\0\0' .. ghost)
      redis.call('ZADD', base .. 'closed', 'XX', 'LT', lease_end, key)
    end
  end

  function lanes.forget_ghosts(ghosts)
    for _, ghost in ipairs(ghosts) do
      local key = redis.call('HGET', base .. 'ghost_keys', ghost)
      if key then
        redis.call('HDEL', base .. 'ghost_keys', ghost)
        redis.call('ZREM', base .. 'held', key .. '\0\0' .. ghost)
        touched[key] = true
      end
    end
    if #ghosts > 0 then
      forget_laned()
    end
  end

  function lanes.forget_ended_ghosts()
    lanes.forget_ghosts(redis.call('ZRANGEBYSCORE', base .. 'ghosts', '-inf', clock()))
  end

  -- Keys whose jobs have ended, or did not start, come back if one may start; whether any did.
  function lanes.judge_touched()
    return (next(touched) or unstarted[1]) and lanes.know_limits().judge(touched, unstarted)
  end
end
