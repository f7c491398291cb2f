-- Apply changes: each moves one job along one edge, if the job still carries the token and stands in
-- one of the edge's sources.
-- needs: _runs _lines _shelves _wake _judge _write _change _changes
-- KEYS: the base of the queue
-- ARGV: whom to wake (none, one, all), then the changes, see _changes.lua; no id comes twice, for
--       all jobs are read before the first one is written
-- returns: of each change 0 applied, 1 already done, 2 stale, 3 no such job
local changes, ids, places = read_changes()
local answers, moved, runs, where, scores = {}, false, read_runs(ids), locate(ids, places)
for number, change in ipairs(changes) do
  local run, place = runs[number], where[number]
  local answer = judge(change, run, place, scores[number])
  if answer == 0 then
    moved = true
    apply(change, run, place)
  end
  answers[number] = answer
end
write_lines()
if #packed > 0 then
  redis.call('HSET', base .. 'runs', unpack(packed))
end
if bytes ~= 0 then
  redis.call('INCRBY', base .. 'bytes', bytes)
end
if moved and ARGV[1] ~= 'none' then
  wake(ARGV[1] == 'all')
end
return answers
