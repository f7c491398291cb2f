-- The shelves that hold jobs, by name, behind `places`.
local function with_shelves(places)
  local shelves = redis.call('SMEMBERS', base .. 'shelves')
  table.sort(shelves)
  for _, shelf in ipairs(shelves) do
    if redis.call('EXISTS', base .. shelf) == 1 then
      places[#places + 1] = shelf
    else
      redis.call('SREM', base .. 'shelves', shelf)
    end
  end
  return places
end
