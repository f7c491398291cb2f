-- Add jobs, in order, and wake one waiting instance.
-- needs: _lines _add _wake
-- KEYS: the base of the queue
-- ARGV: see _add.lua
-- returns: of each job 1, or 0 if the queue has its id already
local answers = add(1)
for _, answer in ipairs(answers) do
  if answer == 1 then
    wake()
    break
  end
end
return answers
