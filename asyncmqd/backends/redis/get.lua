-- Read jobs.
-- needs: _lines _parked _names _records
-- KEYS: the base of the queue
-- ARGV: the number of places, all places but those of parked jobs, then the ids
-- returns: of each job a record, see _records.lua, or false
local ids = {unpack(ARGV, ARGV[1] + 2)}
return read_records(ids, locate(ids, with_waiting({unpack(ARGV, 2, ARGV[1] + 1)})))
