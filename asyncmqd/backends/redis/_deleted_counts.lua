-- What a queue tells of its past is what is there, and what is there no more: see note.lua.
local function note_passed(ids, where, ended)
  local passed = {deleted = #ids}
  for _, place in ipairs(where) do
    passed[place] = ended[place] and (passed[place] or 0) + 1 or nil
  end
  for place, count in pairs(passed) do
    redis.call('HINCRBY', base .. 'passed', place, count)
  end
end
