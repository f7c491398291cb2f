-- Applies the changes that stand from an argument on: an answer to each, whether a permit of the limits over all daemons came
-- free, and of the jobs that did not start (nil: none) when they were claimed, and what they cost.
local function apply_all(at)
  local changes, ids, kinds = read_changes(at)
  local answers, moved, ended, runs, freed = {}, false, {}, read_runs(ids), false
  local unstarted
  local where, scores = locate(ids, kinds.places)
  for number, change in ipairs(changes) do
    local run, place, score = runs[number], where[number], scores[number]
    if edges and edges.came_back[change.id] then -- by one before this
      place, score = unpack(edges.came_back[change.id])
    end
    local answer = judge(change, run, place, score)
    if answer == 0 then
      moved = true
      if place == ARGV[2] and change.kind.place ~= place then
        freed = not (change.kind.takes_away and ghost(change.id, change.token, score)) or freed
      end
      if change.kind.unstarted then
        unstarted = unstarted or {}
        local cost = redis.call('HGET', base .. 'costs', change.id)
        unstarted[#unstarted + 1] = {run[STARTED], tonumber(cost or 1)}
        if lanes then
          lanes.note_unstarted(change.id, unstarted[#unstarted])
        end
      end
      apply(change, run, place)
      ended[#ended + 1] = change.kind.kept >= -1 and change.id or nil
    end
    if answer > 0 and edges then
      edges.end_ghost(string.format('%d %s', change.token, change.id))
    end
    freed = answer > 0 and ghost(change.id, change.token) or freed
    answers[number] = answer
  end
  write_lines()
  if #packed > 0 then
    redis.call('HSET', base .. 'runs', unpack(packed))
  end
  if bytes ~= 0 then
    redis.call('INCRBY', base .. 'bytes', bytes)
  end
  if moved and kinds.wake ~= 'none' or edges and next(edges.came_back) then
    wake(kinds.wake == 'all')
  end
  tell(ended)
  return answers, freed, unstarted
end
