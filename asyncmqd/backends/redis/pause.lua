-- Stop or resume claiming. All waiting instances learn of a resumption.
-- needs: _wake
-- KEYS: the base of the queue
-- ARGV: whether it is to be paused (0, 1)
if ARGV[1] == '1' then
  redis.call('SET', base .. 'paused', 1)
else
  redis.call('DEL', base .. 'paused')
  wake(true)
end
