-- Say that a process waits for the end of jobs, and look which of them have ended or are gone.
-- needs: _lines _parked
-- KEYS: the base of the queue
-- ARGV: the channel of the process, the number of places, the places of jobs that have not ended, all
--       but those of parked jobs, then the ids
-- returns: the ids that stand in none of these places
if redis.call('SADD', base .. 'hearers', ARGV[1]) == 1 then
  -- `tell` strikes out whom nobody hears, but not while somebody listens to all channels. Of the others each new
  -- one looks at some, so that they are few.
  for _, channel in ipairs(redis.call('SRANDMEMBER', base .. 'hearers', 10)) do
    if channel ~= ARGV[1] and redis.pcall('PUBSUB', 'NUMSUB', channel)[2] == 0 then
      redis.call('SREM', base .. 'hearers', channel)
    end
  end
end
local ids, ended = {unpack(ARGV, ARGV[2] + 3)}, {}
local where = locate(ids, {unpack(ARGV, 3, ARGV[2] + 2)})
for number, id in ipairs(ids) do
  if not where[number] then
    ended[#ended + 1] = id
  end
end
where = #ended > 0 and locate(ended, with_waiting({})) or {}
for number = #ended, 1, -1 do
  if where[number] then
    table.remove(ended, number)
  end
end
return ended
