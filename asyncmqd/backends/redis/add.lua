-- Add jobs, in order, and wake one waiting instance.
-- needs: _lines _large_payloads _add _wake
-- KEYS: the base of the queue; the set of all queues, but not in a cluster, where it has another slot
-- ARGV: name of the queue, mark of payloads that were sent ahead, then see _add.lua
-- returns: of each job 1, or 0 if the queue has its id already; then why nobody could be woken, or ''
if #KEYS == 3 then
  redis.call('SADD', KEYS[2], ARGV[1])
end
local answers = add(3, ARGV[2])
for _, answer in ipairs(answers) do
  if answer == 1 then
    wake()
    break
  end
end
answers[#answers + 1] = unheard
return answers
