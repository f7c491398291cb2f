-- Jobs that wait for others to end: `parents:<id>` has what a blocked job waits for, `children:<id>` what
-- waits for a job, in the order in which it came. A blocked job stands in its line by its due time.
local came_back = {}  -- place and score of the jobs that are blocked no more, by id
local any_blocked

-- One command for all that end in a script, and for a queue that has none the only one.
local function has_blocked()
  if any_blocked == nil then
    any_blocked = redis.call('EXISTS', base .. BLOCKED) == 1
  end
  return any_blocked
end

local function block(id, parent, due)
  enter(BLOCKED, due, id)
  redis.call('SADD', base .. 'parents:' .. id, parent)
  redis.call('ZADD', base .. 'children:' .. parent, redis.call('INCR', base .. 'seq'), id)
end

-- It waits for nothing any more.
local function forget_parents(id)
  for _, parent in ipairs(redis.call('SMEMBERS', base .. 'parents:' .. id)) do
    redis.call('ZREM', base .. 'children:' .. parent, id)
  end
  redis.call('DEL', base .. 'parents:' .. id)
end

local function unblock(id)
  local due = tonumber(redis.call('ZSCORE', base .. BLOCKED, id) or nil)
  if not due then
    return
  end
  redis.pcall('SETRANGE', base .. 'job:' .. id, 0, string.format('%016d', clock()))
  local place, score = DELAYED, due
  if due <= clock() then
    place, score = WAITING, tail(id)
  end
  leave(BLOCKED, id)
  enter(place, score, id)
  came_back[id] = {redis.call('ZSCORE', base .. 'keyed', id) and 'keyed' or place, score}
end
