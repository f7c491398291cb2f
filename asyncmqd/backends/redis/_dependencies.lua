-- What the end of a job means for those that wait for it, and for one that was blocked itself. `edges`
-- has functions only where jobs are blocked, for a script makes all its functions anew at each call.
if edges then
  edges.came_back = {} -- place and score of the jobs that are blocked no more, by id

  -- It waits for nothing any more.
  local function forget_parents(id)
    for _, parent in ipairs(redis.call('SMEMBERS', base .. 'parents:' .. id)) do
      redis.call('ZREM', base .. 'children:' .. parent, id)
    end
    redis.call('DEL', base .. 'parents:' .. id)
  end

  local function unblock(id)
    local due = tonumber(redis.call('ZSCORE', base .. BLOCKED, id) or nil)
    if not due then return end
    -- If the clock was set back since its enqueue, no later than its delay from now.
    local added = tonumber(redis.call('GETRANGE', base .. 'job:' .. id, 0, 15)) or due
    due = math.min(due, clock() + math.max(0, due - added))
    redis.pcall('SETRANGE', base .. 'job:' .. id, 0, string.format('%016d', clock()))
    inherit_name(id)
    local place, score = DELAYED, due
    if due <= clock() then
      place, score = WAITING, tail(id)
    end
    leave(BLOCKED, id)
    enter(place, score, id)
    edges.came_back[id] = {redis.call('ZSCORE', base .. 'keyed', id) and 'keyed' or place, score}
  end

  -- A job has ended, or is deleted: what waited for it alone comes back.
  function edges.pay(parent)
    local children = redis.call('ZRANGE', base .. 'children:' .. parent, 0, -1)
    if #children == 0 then return end
    redis.call('DEL', base .. 'children:' .. parent)
    write_lines() -- a child may have been moved
    for _, child in ipairs(children) do
      redis.call('SREM', base .. 'parents:' .. child, parent)
      if redis.call('EXISTS', base .. 'parents:' .. child) == 0 then
        unblock(child)
      end
    end
    write_lines() -- and may be moved again
  end

  -- Of jobs that have ended, or are deleted.
  function edges.settle(ids)
    for _, id in ipairs(ids) do
      forget_parents(id)
    end
    for _, id in ipairs(ids) do
      edges.pay(id)
    end
  end
end
