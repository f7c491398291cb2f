-- A ghost that jobs have to wait for: the code of a job that was cancelled for a later one. It may be
-- awaited by nobody any more, and the next job has to wait for it all the same.
if edges then
  -- Its code has ended, or its lease: what waited for that alone comes back.
  function edges.end_ghost(name)
    if redis.call('ZREM', base .. 'awaited', name) == 1 then
      edges.pay(name)
    end
  end
end
