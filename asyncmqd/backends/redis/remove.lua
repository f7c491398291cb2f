-- Delete jobs wherever they are.
-- needs: _runs _lanes _lines _lane_moves _laned _key_permits _parked _tell _wake _ghosts _names _keys _edges _passed _delete _deleted
-- KEYS: the base of the queue
-- ARGV: active place, waiting place, the number of ended places, the number of all places, all places but those of parked
--       jobs, the ended ones first, then the ids; no id comes twice
-- returns: of each job 1, or 0 if there was none
local places, ended, ids = {unpack(ARGV, 5, ARGV[4] + 4)}, {}, {unpack(ARGV, ARGV[4] + 5)}
for number = 1, tonumber(ARGV[3]) do
  ended[places[number]] = true
end
local where, answers = locate(ids, with_waiting(places)), {}
local found, found_where = {}, {}
for number, id in ipairs(ids) do
  answers[number] = where[number] and 1 or 0
  if where[number] then
    found[#found + 1], found_where[#found + 1] = id, where[number]
  end
end
delete(found, found_where, ended, ARGV[1])
free_others(found)
return answers
