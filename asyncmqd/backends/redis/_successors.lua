-- A job that runs keeps what its run has seen; another may come after it.

-- Who has been claimed keeps what the run has seen.
local function is_replaceable(id)
  local run = read_runs({id})[1]
  return not run or run[STARTED] == 0
end

-- The blocked job of this name that waits for another, if there is one.
local function successor_of(holder, name)
  for _, id in ipairs(redis.call('ZRANGE', base .. 'children:' .. holder, 0, -1)) do
    if name_of(id) == name then
      return id
    end
  end
end
