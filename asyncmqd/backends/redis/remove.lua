-- Delete jobs wherever they are.
-- needs: _runs _lanes _lines _lane_moves _laned _key_permits _parked _tell _wake _ghosts _names _keys _dependencies _deleted_counts _delete _deleted _remove
-- KEYS: the base of the queue
-- ARGV: active place, the number of ended places, the number of all places, all places but those of parked
--       jobs, the ended ones first, then the ids; no id comes twice
-- returns: of each job 1, or 0 if there was none
return remove({unpack(ARGV, ARGV[3] + 4)}, {unpack(ARGV, 4, ARGV[3] + 3)}, ARGV[2], ARGV[1])
