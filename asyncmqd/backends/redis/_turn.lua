-- One queue's turn.
-- with: _bucket _limits _limited _runs _lanes _lines _lane_moves _laned _key_permits _key_limits _parked _wake _tell _names _judge _attempts _write _dependencies _awaited _change _changes _waiters _ghosts _apply _claims _lane_rounds _lane_pops _lane_claims _take

-- Its reply. Others may have had theirs before it by the same functions.
local function turn()
  bytes, packed = 0, {}
  local limit, worker, piece, told = tonumber(ARGV[at]), ARGV[at + 1], ARGV[at + 2], ARGV[at + 3]
  sign_up = ARGV[at + 4]
  local answers, freed, unstarted = {}, false, nil
  if at + 5 < behind then
    answers, freed, unstarted = apply_all(at + 5)
  end
  local reopened = lanes and lanes.judge_touched()
  local reply = {now, table.concat(answers), false, false}
  if limit > 0 then
    take(reply, limit, worker, piece, told, unstarted)
  elseif unstarted or reopened
    or freed and not plain and redis.call('EXISTS', base .. 'held_back') == 1 then
    limited(wake, note_waiter).pass_permits(ARGV[1], ARGV[2], unstarted)
  end
  if lanes then
    lanes.forget_idle()
  end
  return reply
end
