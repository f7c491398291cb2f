-- Claims of jobs from lanes.
local take_from_lanes = false
if lanes then
  -- Of a priority that has lanes, and `plain` waiting jobs without a key.
  local function take_level(level, limit, plain)
    local popped = {}
    for _, lane in ipairs(lanes.take_turns(level, limit, plain)) do
      lane.popped, lane.at = lane.popped or lanes.pop(lane, level), lane.at or 1
      popped[#popped + 1], popped[#popped + 2] = lane.popped[lane.at], lane.popped[lane.at + 1]
      lane.at = lane.at + 2
    end
    redis.call('ZREMRANGEBYSCORE', lanes.name('idle', level), '-inf', lanes.virtual_time(level))
    return popped
  end

  -- Of the best priority; nil or false: nothing waits that may start.
  local function take_best(limit)
    local level = tonumber(redis.call('ZRANGE', base .. 'levels', 0, 0)[1])
    local first = redis.call('ZRANGE', base .. WAITING, 0, 0, 'WITHSCORES')[2]
    local plain = first and math.floor(first / lanes.PRIORITY)
    if not level or plain and plain < level then
      local number = plain and lanes.purse and lanes.purse.paid(lanes.ids('', plain, limit)) or limit
      return plain and lanes.pop_plain(plain, number)
    end
    local behind = level == plain and lanes.behind(level)
    return take_level(level, limit, behind and redis.call('ZCOUNT', base .. WAITING, '-inf', behind) or 0)
  end

  -- Up to `limit` jobs whose turn it is; `purse`: they cost what they cost.
  function take_from_lanes(limit, purse)
    local all = {}
    lanes.purse = purse
    while #all < 2 * limit and not (purse and purse.is_empty) do
      local found = take_best(limit - #all / 2)
      if not found then
        break
      end
      for at = 1, #found do
        all[#all + 1] = found[at]
      end
    end
    return all
  end
end
