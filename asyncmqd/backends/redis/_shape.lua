-- What a queue has that most do not: `lanes`, where jobs have keys, and `edges`, where some are blocked, are
-- tables then, to which other parts add functions. A script of another layout must not write here.
if redis.call('EXISTS', base .. 'layout', base .. 'laned', base .. BLOCKED, base .. 'awaited') > 0 then
  local found, laned = unpack(redis.call('MGET', base .. 'layout', base .. 'laned'))
  if found and found ~= LAYOUT then
    return redis.error_reply('LAYOUT ' .. found)
  end
  lanes, edges = laned and {}, redis.call('EXISTS', base .. BLOCKED, base .. 'awaited') > 0 and {}
end
