-- A job as its claimer gets it: id, token, failures, crashes, solo, worker, and the string of the
-- job, which is false if the store lost it.
local function claim_of(id)
  local run = redis.call(
    'HMGET', base .. 'run:' .. id, 'token', 'failures', 'crashes', 'solo', 'worker')
  return {
    id, run[1] or 0, run[2], run[3], run[4], run[5], redis.call('GET', base .. 'job:' .. id)}
end
