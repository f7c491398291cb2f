-- Periods of a queue's past, as domain/history.py has them: {minute, counts, levels, waits, runs}, each
-- packed. All numbers are whole.
local MINUTE, COUNTS, LEVELS, WAITS, RUNS = 1, 2, 3, 4, 5

local function zip(one, other, both)
  local found = {}
  for at = 1, math.max(#one, #other) do
    found[at] = both(one[at] or 0, other[at] or 0)
  end
  return found
end

local function sum(one, other)
  return one + other
end

-- Two histograms: numbers of buckets, rising, each with its count.
local function add_histograms(one, other)
  local found, at, second = {}, 1, 1
  while one[at] or other[second] do
    local a, b = one[at] or math.huge, other[second] or math.huge
    local count = 0
    found[#found + 1] = math.min(a, b)
    if a <= b then
      count, at = count + one[at + 1], at + 2
    end
    if b <= a then
      count, second = count + other[second + 1], second + 2
    end
    found[#found + 1] = count
  end
  return found
end

local function join(one, other)
  return {
    math.min(one[MINUTE], other[MINUTE]), zip(one[COUNTS], other[COUNTS], sum),
    zip(one[LEVELS], other[LEVELS], math.max), add_histograms(one[WAITS], other[WAITS]),
    add_histograms(one[RUNS], other[RUNS])}
end
