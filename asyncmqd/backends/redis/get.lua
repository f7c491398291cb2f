-- Read jobs.
-- needs: _lines _parked _names _records
-- KEYS: the base of the queue
-- ARGV: the bytes of a string, at most, the number of places, all places but those of parked jobs, then the ids
-- returns: of each job a record, see _records.lua, or false
local ids = {unpack(ARGV, ARGV[2] + 3)}
local where, scores = locate(ids, with_waiting({unpack(ARGV, 3, ARGV[2] + 2)}))
return read_records(ids, where, scores, ARGV[1])
