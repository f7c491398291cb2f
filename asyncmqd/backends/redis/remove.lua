-- Delete jobs wherever they are.
-- needs: _runs _lines _parked _tell _ghosts _names _keys _delete
-- KEYS: the base of the queue
-- ARGV: active place, the number of ended places, the number of all places, all places but those of parked
--       jobs, the ended ones first, then the ids; no id comes twice
-- returns: of each job 1, or 0 if there was none
local places, ended, ids = {unpack(ARGV, 4, ARGV[3] + 3)}, {}, {unpack(ARGV, ARGV[3] + 4)}
for number = 1, tonumber(ARGV[2]) do
  ended[places[number]] = true
end
local where, answers = locate(ids, with_parked(places)), {}
local found, found_where = {}, {}
for number, id in ipairs(ids) do
  answers[number] = where[number] and 1 or 0
  if where[number] then
    found[#found + 1], found_where[#found + 1] = id, where[number]
  end
end
delete(found, found_where, ended, ARGV[1])
return answers
