-- Hold claims for longer.
-- needs: _runs _lines
-- KEYS: the base of the queue
-- ARGV: active place, lease (microseconds), then of each claim: id, token; no id comes twice
-- returns: of each claim 1, or 0 if it is lost
local ends, answers, ids = clock() + ARGV[2], {}, {}
for at = 3, #ARGV, 2 do
  ids[#ids + 1] = ARGV[at]
end
local is_any_awaited = redis.call('EXISTS', base .. 'awaited') == 1
local runs, where = read_runs(ids), locate(ids, {ARGV[1]})
for number, id in ipairs(ids) do
  local run = runs[number]
  local held = where[number] and run and run[TOKEN] == tonumber(ARGV[2 * number + 2])
  if held then
    enter(ARGV[1], ends + number, id)
  end
  answers[number] = held and 1 or 0
  if not held and is_any_awaited then
    redis.call('ZADD', base .. 'awaited', 'XX', ends, ARGV[2 * number + 2] .. ' ' .. id)
  end
end
write_lines()
return answers
