-- What the end of a job means for those that wait for it, and for one that was blocked itself.

-- A job has ended, or is deleted: what waited for it alone comes back.
local function pay(parent)
  local children = redis.call('ZRANGE', base .. 'children:' .. parent, 0, -1)
  if #children == 0 then
    return
  end
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
local function settle_edges(ids)
  for _, id in ipairs(ids) do
    forget_parents(id)
  end
  for _, id in ipairs(ids) do
    pay(id)
  end
end
