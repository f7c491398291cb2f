-- Whether there is nothing in a queue but jobs: most have only these while there is much to do.
local function is_plain()
  return redis.call('EXISTS', base .. 'layout', base .. 'laned', base .. BLOCKED, base .. 'awaited',
    base .. 'paused', base .. 'limits', base .. 'hearers', base .. 'waiters') == 0
end

local lanes, edges, plain = false, false, is_plain()
if not plain then
  -- with: _shape
end
