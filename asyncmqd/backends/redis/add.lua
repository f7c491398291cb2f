-- Add jobs, in order, and wake one waiting instance.
-- needs: _add _wake
-- KEYS: the base of the queue
-- ARGV: waiting place, delayed place, then of each job: id, priority (3 digits), delay
--       (microseconds), payload
-- returns: of each job 1, or 0 if the queue has its id already
local answers, fresh, now = {}, false, clock()
for at = 3, #ARGV, 4 do
  -- A microsecond more for each keeps jobs of the same delay in order.
  local delay = tonumber(ARGV[at + 2])
  local added = add(now + #answers, ARGV[1], ARGV[2], ARGV[at], ARGV[at + 1], delay, ARGV[at + 3])
  answers[#answers + 1] = added and 1 or 0
  fresh = fresh or added
end
if fresh then
  wake()
end
return answers
