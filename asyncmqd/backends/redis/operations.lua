-- Read the operations of a queue, the newest first.
-- needs: _operations
-- KEYS: the base of the queue
-- returns: of each its id and fields, see `read_operation`
local found = {}
for _, id in ipairs(redis.call('ZREVRANGE', base .. 'operations', 0, -1)) do
  found[#found + 1] = read_operation(id)
end
return found
