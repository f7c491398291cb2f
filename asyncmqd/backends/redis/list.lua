-- Read a page of the jobs in a place.
-- needs: _lines
-- KEYS: the base of the queue
-- ARGV: place, offset, limit, whether to begin at the end (0, 1), whether shelves follow (0, 1)
-- returns: of each job: id, place, score, the string of the job, the hash of its run
local offset, left, reply = tonumber(ARGV[2]), tonumber(ARGV[3]), {}
local range = ARGV[4] == '1' and 'ZREVRANGE' or 'ZRANGE'
local places = ARGV[5] == '1' and shelves() or {}
table.insert(places, 1, ARGV[1])
for _, place in ipairs(places) do
  local found = left > 0
    and redis.call(range, base .. place, offset, offset + left - 1, 'WITHSCORES') or {}
  for at = 1, #found, 2 do
    reply[#reply + 1] = {
      found[at], place, found[at + 1], redis.call('GET', base .. 'job:' .. found[at]),
      redis.call('HGETALL', base .. 'run:' .. found[at])}
  end
  left = left - #found / 2
  offset = math.max(0, offset - redis.call('ZCARD', base .. place))
end
return reply
