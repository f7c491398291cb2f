-- Read jobs.
-- needs: _lines
-- KEYS: the base of the queue
-- ARGV: the number of places, the places to look in (shelves are looked in besides), then the ids
-- returns: of each job false, or: id, place, score, the string of the job, the hash of its run
local count, reply = tonumber(ARGV[1]), {}
local places = {unpack(ARGV, 2, count + 1)}
for at = count + 2, #ARGV do
  local id = ARGV[at]
  local place, score = find(id, places, true)
  reply[#reply + 1] = place and {
    id, place, score, redis.call('GET', base .. 'job:' .. id),
    redis.call('HGETALL', base .. 'run:' .. id)}
end
return reply
