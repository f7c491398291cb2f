-- The places that hold parked jobs, by name, behind `places`.
local function with_parked(places)
  local parked = redis.call('SMEMBERS', base .. 'shelves')
  table.sort(parked)
  for _, place in ipairs(parked) do
    if redis.call('EXISTS', base .. place) == 1 then
      places[#places + 1] = place
    else
      redis.call('SREM', base .. 'shelves', place)
    end
  end
  return places
end

-- All places that hold waiting jobs but the first, behind `places`: that of jobs with keys comes before
-- parked ones.
local with_waiting = with_parked
if lanes then
  function with_waiting(places)
    places[#places + 1] = 'keyed'
    return with_parked(places)
  end
end
