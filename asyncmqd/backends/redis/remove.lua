-- Delete jobs wherever they are.
-- needs: _lines _keep
-- KEYS: the base of the queue
-- ARGV: the number of places, the places to look in (shelves are looked in besides), then the ids
-- returns: of each job 1, or 0 if there was none
local count, answers = tonumber(ARGV[1]), {}
local places = {unpack(ARGV, 2, count + 1)}
for at = count + 2, #ARGV do
  local place = find(ARGV[at], places, true)
  if place then
    delete(ARGV[at], place)
  end
  answers[#answers + 1] = place and 1 or 0
end
return answers
