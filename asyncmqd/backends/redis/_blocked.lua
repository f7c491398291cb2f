-- Jobs that wait for others to end: `parents:<id>` has what a blocked job waits for, `children:<id>` what
-- waits for a job, in the order in which it came. A blocked job stands in its line by its due time.
local function block(id, parent, due)
  enter(BLOCKED, due, id)
  redis.call('SADD', base .. 'parents:' .. id, parent)
  redis.call('ZADD', base .. 'children:' .. parent, redis.call('INCR', base .. 'seq'), id)
end
