-- What _queue.lua does, for a script that does not ask whether the queue has keys, or jobs that are blocked.
local base = KEYS[1]
local layout = redis.call('GET', base .. 'layout')
if layout and layout ~= LAYOUT then
  return redis.error_reply('LAYOUT ' .. layout)
end
