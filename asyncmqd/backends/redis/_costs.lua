-- What jobs cost.
--   costs       hash: what a job costs, by id, of those that do not cost one token
--   owes:, owes:<key>  since when a bucket owes for a job that was dearer than its burst, while it does
local function note_cost(id, cost)
  if tonumber(cost) ~= 1 then
    redis.call('HSET', base .. 'costs', id, cost)
  end
end
