-- Stop or resume claiming. All waiting instances learn of it.
-- needs: _wake
-- KEYS: the base of the queue
-- ARGV: whether it is to be paused (0, 1), a note on who does it and why
if ARGV[1] == '1' then
  redis.call('SET', base .. 'paused', string.format('%016d', clock()) .. ARGV[2])
else
  redis.call('DEL', base .. 'paused')
end
wake(true)
