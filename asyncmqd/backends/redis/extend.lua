-- Hold claims for longer.
-- needs:
-- KEYS: the base of the queue
-- ARGV: active place, lease (microseconds), then of each claim: id, token
-- returns: of each claim 1, or 0 if it is lost
local active, ends, answers = base .. ARGV[1], clock() + ARGV[2], {}
for at = 3, #ARGV, 2 do
  local id = ARGV[at]
  local held = redis.call('HGET', base .. 'run:' .. id, 'token') == ARGV[at + 1]
    and redis.call('ZSCORE', active, id)
  if held then
    redis.call('ZADD', active, ends + #answers, id)
  end
  answers[#answers + 1] = held and 1 or 0
end
return answers
