-- One step of an operation: apply changes, or delete jobs, count these, and write how far it is.
-- needs: _operations _bucket _limits _limited _runs _lanes _lines _lane_moves _laned _key_permits _key_limits _parked _wake _tell _ghosts _names _keys _judge _attempts _write _dependencies _awaited _change _changes _waiters _apply _deleted_counts _delete _deleted _remove
-- KEYS: the base of the queue
-- ARGV: waiting place, active place, id, token, lease (microseconds), progress, whether that is written (0, 1; not if a job has moved on),
--       the outcome if it ends (or empty), whether jobs are deleted (0, 1); then changes as turn.lua has them
--       from whom to wake on, or: the number of ended places, the number of all places, all places but those of
--       parked jobs, the ended ones first, then ids; no id comes twice
-- returns: false, if it has ended, or another carries it; else of each change what turn.lua answers, of each
--          job to delete 0 or 3
local id, key = ARGV[3], operation_key(ARGV[3])
if not is_under_way(id) or redis.call('HGET', key, 'token') ~= ARGV[4] then
  return false
end

local function change_all()
  local answers, freed, unstarted = apply_all(10)
  local reopened = lanes and lanes.judge_touched()
  if unstarted or reopened or freed and redis.call('EXISTS', base .. 'held_back') == 1 then
    limited(wake, note_waiter).pass_permits(ARGV[1], ARGV[2], unstarted)
  end
  if lanes then
    lanes.forget_idle()
  end
  return answers
end

local answers, moved, is_whole = {}, 0, true
if ARGV[9] == '1' then
  local ids, places = {unpack(ARGV, ARGV[11] + 12)}, {unpack(ARGV, 12, ARGV[11] + 11)}
  for number, was_there in ipairs(remove(ids, places, ARGV[10], ARGV[2])) do
    answers[number] = was_there == 1 and 0 or 3
  end
elseif ARGV[10] then
  answers = change_all()
end
for _, answer in ipairs(answers) do
  moved = moved + (answer == 0 and 1 or 0)
  is_whole = is_whole and answer ~= 1 and answer ~= 2
end
redis.call('HINCRBY', key, 'moved', moved)
redis.call('HSET', key, 'until', string.format('%.0f', clock() + ARGV[5]))
if ARGV[7] == '1' and is_whole then
  redis.call('HSET', key, 'progress', ARGV[6])
end
if ARGV[8] ~= '' then
  end_operation(id, ARGV[8], '')
end
return answers
