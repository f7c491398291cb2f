-- Apply changes, then take waiting jobs. A change moves one job along one edge, if the job still
-- carries the token and stands in one of the edge's sources. Both are one script because a server may
-- have forgotten one of two: the jobs would be taken before the changes are sent in full.
-- needs: _bucket _limits _limited _runs _lanes _lines _lane_moves _laned _key_permits _key_gate _key_judging _closed_keys _parked _wake _tell _names _judge _attempts _write _dependencies _awaited _change _changes _waiters _ghosts _apply _claims _lane_order _lane_costs _lane_turns _lane_pops _lane_claims _take
-- KEYS: the base of the queue
-- ARGV: waiting place, active place, how many jobs to take (0: none), lease (microseconds), worker,
--       channel of the instance (empty if it does not listen), the most bytes of a job's string to
--       return, how many of them to read (empty: all), the limits of all daemons that the
--       worker knows (packed, or empty); then, if there are changes, whom to wake (none,
--       one, all) and the changes, see _changes.lua; no id comes twice: all are read before one is written
-- returns: now; of each change 0 applied, 1 already done, 2 stale, 3 no such job, 4 its name is
--       taken; of the claims the ids, the runs and the strings of the jobs; and see `take`

local limit, answers, freed, unstarted = tonumber(ARGV[3]), {}, false, nil
if ARGV[10] then
  answers, freed, unstarted = apply_all()
end
local reopened = lanes and lanes.judge_touched()
local reply
if limit > 0 then
  reply = {now, answers, take(limit, unstarted)}
else
  if unstarted or reopened or freed and redis.call('EXISTS', base .. 'held_back') == 1 then
    limited(wake, note_waiter).pass_permits(ARGV[1], ARGV[2], unstarted)
  end
  reply = {now, answers, {}, {}, {}}
end
if lanes then
  lanes.forget_idle()
end
return reply
