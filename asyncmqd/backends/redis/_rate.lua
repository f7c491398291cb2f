-- What a bucket allows: domain/rate.py, told again. In the function that makes it, see _bucket.lua: of a
-- rate that allows so many `starts`.
local burst, gap = bucket.burst, bucket.gap

local function left()
  return burst - math.max(0, bucket.arrival - now) / gap - bucket.taken + 0.000000001
end

function bucket.allowed()
  return starts > 0 and math.max(0, math.floor(left())) or 0
end

-- How many jobs of these costs may start, one after the other.
function bucket.covered(costs)
  local tokens = left()
  for number, cost in ipairs(costs) do
    if starts == 0 or tokens < math.min(cost, burst) then
      return number - 1
    end
    tokens = tokens - cost
  end
  return #costs
end

-- Take what a job costs, if that is there.
function bucket.pays(cost)
  local covered = bucket.covered({cost}) == 1
  bucket.taken, bucket.refused = bucket.taken + (covered and cost or 0), covered and 1 or cost
  return covered
end

function bucket.after()
  local taken = bucket.taken
  return taken > 0 and math.max(bucket.arrival, now) + taken * gap or bucket.arrival
end

-- In microseconds until one may start, the one that was refused if any was; false: never.
function bucket.opens_in(cost)
  local least = burst - math.min(cost or bucket.refused, burst)
  return starts > 0 and math.ceil(math.max(0, bucket.after() - now - least * gap))
end

-- A job that was claimed at that moment for so many tokens did not start.
function bucket.refund(claimed, cost)
  bucket.arrival = bucket.arrival - math.max(0, cost * gap - math.max(0, now - claimed))
end
