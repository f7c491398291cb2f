-- Have nobody go on with an operation.
-- needs: _operations
-- KEYS: the base of the queue
-- ARGV: id, outcome, by whom
-- returns: 1, or 0 if it has ended, or there is none
if not is_under_way(ARGV[1]) then
  return 0
end
end_operation(ARGV[1], ARGV[2], ARGV[3])
return 1
