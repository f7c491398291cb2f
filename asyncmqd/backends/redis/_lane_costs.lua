-- What the next jobs of lanes cost, and who pays for them: `lanes.purse`, see _token_budget.lua, where jobs cost
-- what they cost.
if lanes then
  -- How many jobs of a lane may start, of at most `limit`; and what they cost, the first one at least.
  function lanes.allowed_of(key, level, limit)
    local allowed = lanes.allowed(key)
    if not lanes.purse or allowed == 0 then
      return allowed
    end
    local costs = lanes.purse.costs(lanes.ids(key, level, math.min(allowed, limit)))
    return lanes.bucket(key).covered(costs), costs
  end

  -- Whether the queue pays for the next job of a lane.
  function lanes.pays(lane, level, limit)
    if not lanes.purse then
      return true
    end
    lane.costs = lane.costs or lanes.purse.costs(lanes.ids(lane.key, level, math.min(lane.left, limit)))
    local cost = lane.costs[lane.served + 1]
    local paid = lanes.purse.pays(cost)
    lane.tokens = (lane.tokens or 0) + (paid and cost or 0)
    return paid
  end
end
