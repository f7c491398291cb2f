-- Read the processes; those that have been silent for too long are among them.
-- needs:
-- KEYS: the hash of the processes
-- returns: now, then ids and values in turn (see beat.lua)
local reply = redis.call('HGETALL', KEYS[1])
table.insert(reply, 1, clock())
return reply
