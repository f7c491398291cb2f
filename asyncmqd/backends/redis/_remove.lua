-- Delete jobs wherever they are; `places` are all but those of parked jobs, the ended ones first. No id
-- comes twice. Of each 1, or 0 if there was none.
local function remove(ids, places, number_of_ended, active)
  local ended, answers, found, found_where = {}, {}, {}, {}
  for number = 1, tonumber(number_of_ended) do
    ended[places[number]] = true
  end
  local where = locate(ids, with_waiting(places))
  for number, id in ipairs(ids) do
    answers[number] = where[number] and 1 or 0
    if where[number] then
      found[#found + 1], found_where[#found + 1] = id, where[number]
    end
  end
  delete(found, found_where, ended, active)
  free_others(found)
  return answers
end
