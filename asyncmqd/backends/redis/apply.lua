-- Apply changes: each moves one job along one edge, if the job still carries the token and stands in
-- one of the edge's sources.
-- needs: _lines _keep _wake _apply
-- KEYS: the base of the queue
-- ARGV: whom to wake (none, one, all); the number of edges, and of each edge: rank, whether it leads
--       out of an ended state (0, 1), whether shelves are among its sources (0, 1), the number of
--       its sources, the sources; then of each change: number of its edge, id, token, target place,
--       whether that is a shelf (0, 1), whether to raise the token (0, 1), whether the lease must
--       have ended (0, 1), delay (microseconds), how long it is kept (microseconds, -1 by number, -2
--       not at all), the number of further arguments, fields of the run and their values
-- returns: of each change 0 applied, 1 already done, 2 stale, 3 no such job
local at = 2
local function take(count)
  at = at + count
  return unpack(ARGV, at - count + 1, at)
end

local edges = {}
for number = 1, tonumber(ARGV[2]) do
  local rank, ended, shelved, count = take(4)
  edges[number] = {
    rank = rank, ended = ended == '1', shelved = shelved == '1', sources = {take(tonumber(count))}}
end

local answers, moved = {}, false
while at < #ARGV do
  local edge, id, token, target, shelf, outside, lapsed, delay, kept, count = take(10)
  local answer = apply(edges[tonumber(edge)], id, token, {
    place = target, shelf = shelf == '1', outside = outside == '1', lapsed = lapsed == '1',
    delay = tonumber(delay) + #answers, kept = tonumber(kept), fields = {take(tonumber(count))}})
  answers[#answers + 1] = answer
  moved = moved or answer == 0
end
if moved and ARGV[1] ~= 'none' then
  wake(ARGV[1] == 'all')
end
return answers
