-- What a turn does with the limits over all daemons, beside `limits_of_all`. Called only where there are
-- some. It comes before other parts, and gets what comes later: each local of others that a function uses
-- is looked for when the function is made, and the later, the longer.
local function limited(wake, note_waiter, channel)
  local limits, now = limits_of_all(), clock()
  -- with: _token_budget

  -- Jobs were claimed that cost so many tokens, and so many permits are left; in how many microseconds time
  -- alone lets more start, if they were too few. Who takes all that the rate allows wakes another, who
  -- learns when it allows more; who takes the last permit does not, for its end wakes.
  function limits.note_claims(tokens, full, places, bucket)
    bucket.take(tokens)
    local is_open = bucket.allowed() > 0
    if places > 0 and (is_open or full) then
      limits.open_gate()
      note_waiter(full, channel)
      if full and lanes and (lanes.timed or redis.call('GET', base .. 'told') == channel) then
        wake() -- one who learns when time opens a key: who knew it is full now
      end
      if not full and bucket.refused > 1 then
        return bucket.opens_in()
      end
      return not full and lanes and lanes.tell_opening(channel)
    end
    note_waiter(full, channel, true)
    if full or places > 0 then
      return not full and bucket.opens_in()
    end
    -- What frees a permit without an end that wakes somebody.
    local first = redis.call('ZRANGE', base .. 'ghosts', 0, 0, 'WITHSCORES')[2]
    return first and first - now
  end

  -- Permits or tokens came free, and who freed them claims nothing: somebody else is woken. Where no
  -- token is there, that one learns when there will be.
  function limits.pass_permits(waiting, active, unstarted)
    local stored = redis.call('GET', base .. 'limits')
    local declared = stored and cmsgpack.unpack(stored)
    if stored and unstarted then
      local bucket = bucket_of(declared)
      bucket.hand_back(unstarted)
      bucket.take(0)
    end
    if not stored or limits.permits(declared, active) > 0 then
      limits.open_gate()
      if redis.call('EXISTS', base .. waiting, base .. 'levels') > 0 then
        wake()
      end
    end
  end

  return limits
end
