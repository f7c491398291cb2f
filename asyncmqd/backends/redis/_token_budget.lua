-- What the next jobs cost, and whether the rate of their queue lets them start; false if all cost one
-- token, or no rate is in force. In _limited.lua.
function limits.purse(bucket)
  local costs = base .. 'costs'
  if not (bucket.starts or lanes and lanes.are_limited) or redis.call('EXISTS', costs) == 0 then
    return false
  end
  local purse = {is_empty = false} -- for the job whose turn it is

  function purse.costs(ids)
    local found = #ids > 0 and redis.call('HMGET', costs, unpack(ids)) or {}
    for number, cost in ipairs(found) do
      found[number] = tonumber(cost or 1)
    end
    return found
  end

  -- Take what a job costs, if that is there.
  function purse.pays(cost)
    purse.is_empty = not bucket.pays(cost)
    return not purse.is_empty
  end

  -- How many of these jobs are paid, one after the other.
  function purse.paid(ids)
    for number, cost in ipairs(purse.costs(ids)) do
      if not purse.pays(cost) then
        return number - 1
      end
    end
    return #ids
  end

  return purse
end
