-- Cancels jobs of a schedule for a later one, each as a change of turn.lua would.

local function cancelling(cancelled, keep)
  return {
    rank = 'time', place = cancelled, delay = 0, kept = tonumber(keep), run = {}, outside = true,
    takes_away = true, rewrites = true}
end

-- What has to end before the later one may start: `after`, or the ghost of one that was active.
local function supersede(ids, cancelled, keep, error, after)
  local live = with_waiting({WAITING, DELAYED, BLOCKED, ACTIVE})
  for number, id in ipairs(ids) do
    local where, scores = locate({id}, live)
    local run, place = read_runs({id})[1], where[1]
    if place == ACTIVE then
      after = string.format('%d %s', run[TOKEN], id)
      redis.call('ZADD', base .. 'awaited', scores[1], after)
      ghost(id, run[TOKEN], scores[1])
    end
    local change = {number = number, kind = cancelling(cancelled, keep), id = id, left = {'error', error}}
    apply(change, run, place)
    write_lines()
  end
  if #packed > 0 then
    redis.call('HSET', base .. 'runs', unpack(packed))
    redis.call('INCRBY', base .. 'bytes', bytes)
  end
  tell(ids)
  return after
end
