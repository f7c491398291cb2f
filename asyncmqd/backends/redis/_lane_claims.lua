-- Claims of jobs from lanes.
local take_from_lanes = false
if lanes then
  -- The job of each of these turns.
  local function take_turns(all, level, turns)
    local line = lanes.of('', level)
    for _, lane in ipairs(turns) do
      lane.popped, lane.at = lane.popped or lanes.pop_turns(lane, level, line .. lane.key), lane.at or 1
      all[#all + 1], all[#all + 2] = lane.popped[lane.at], lane.popped[lane.at + 1]
      lane.at = lane.at + 2
    end
  end

  -- Of a priority that has lanes, and `plain` waiting jobs without a key.
  local function take_level(all, level, limit, plain)
    local first = lanes.read_turns(level, limit)
    if plain == 0 and lanes.is_round(first, limit) then
      lanes.take_round(all, level, first)
    else
      lanes.know_turns()
      take_turns(all, level, lanes.take_turns(level, limit, plain, first))
    end
    lanes.write_pops(level)
    redis.call('ZREMRANGEBYSCORE', lanes.name('idle', level), '-inf', lanes.virtual_time(level))
  end

  -- Of the best priority; whether any waits that may start.
  local function take_best(all, limit)
    local level = tonumber(redis.call('ZRANGE', base .. 'levels', 0, 0)[1])
    local first = redis.call('ZRANGE', base .. WAITING, 0, 0, 'WITHSCORES')[2]
    local plain = first and math.floor(first / lanes.PRIORITY)
    if not level or plain and plain < level then
      local number = plain and lanes.purse and lanes.purse.paid(lanes.ids('', plain, limit)) or limit
      for _, each in ipairs(plain and lanes.pop_plain(plain, number) or {}) do
        all[#all + 1] = each
      end
      return plain
    end
    local behind = level == plain and lanes.behind(level)
    take_level(all, level, limit, behind and redis.call('ZCOUNT', base .. WAITING, '-inf', behind) or 0)
    return true
  end

  -- Up to `limit` jobs whose turn it is; `purse`: they cost what they cost.
  function take_from_lanes(limit, purse)
    local all = {}
    lanes.purse = purse
    local any = true
    while any and #all < 2 * limit and not (purse and purse.is_empty) do
      any = take_best(all, limit - #all / 2)
    end
    return all
  end
end
