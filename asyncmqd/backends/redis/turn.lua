-- Turns of queues: of each, apply changes, then take waiting jobs. A change moves one job along one edge,
-- if the job still carries the token and stands in one of the edge's sources. Both are one script because a
-- server may have forgotten one of two: the jobs would be taken before the changes are sent in full.
--
-- A script makes all its functions anew at each call, which costs half as much as a turn of one job. So queues
-- that are plain have their turns by the same functions. An error is of the queue that has it: those behind
-- it get functions of their own, for nobody knows what the failed turn has left in these.
-- needs: _clock
-- KEYS: the bases of the queues; of several only where all of them are on one server
-- ARGV: waiting place, active place, lease (microseconds), channel of the instance (empty if it does not
--       listen), the most bytes of a job's string to return; then of each queue how many arguments it has, and
--       these: how many jobs to take (0: none), worker, how many bytes of their strings to read (empty: all),
--       the limits of all daemons that the worker knows (packed, or empty), how it signs up for a job if it gets
--       fewer than it asks for (see signing_up.py, or empty); then, if there are changes, what _changes.lua
--       says; no id comes twice: all are read before one is written
-- returns: now; of each change 0 applied, 1 already done, 2 stale, 3 no such job, 4 its name is taken, in one
--       string; two values, see `take`; if there are any, the claims (see `columns`). Of several
--       queues all in one list: of each how many values it has, and these, or its error.
local count, number, at = #KEYS - 1, 1, 7 -- which queue's turn it is, and where its arguments are
local behind, replies = at + ARGV[6], {}

local function go_on()
  number, at = number + 1, behind + 1
  behind = at + (ARGV[behind] or 0)
end

-- The turn of a queue, and of plain ones behind it.
local function serve(note_reply)
  local base = KEYS[number]
  -- with: _plain _turn
  repeat
    note_reply(turn())
    go_on()
    base = KEYS[number]
  until not plain or number > count or not is_plain()
end

if count == 1 then
  return serve(function(reply) replies = reply end) or replies
end
while number <= count do
  local _, problem = pcall(serve, function(reply)
    replies[#replies + 1] = #reply
    for _, value in ipairs(reply) do
      replies[#replies + 1] = value
    end
  end)
  if problem then
    replies[#replies + 1] = type(problem) == 'table' and problem or {err = 'ERR ' .. problem}
    go_on()
  end
end
return replies
