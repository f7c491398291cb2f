-- A daemon of a release before blocked jobs ends a job and leaves what waited for it: that comes back here.
if edges then
  -- Of a page of the blocked jobs.
  function edges.pay_missed(page)
    for _, child in ipairs(redis.call('ZRANGE', base .. BLOCKED, 0, page - 1)) do
      for _, parent in ipairs(redis.call('SMEMBERS', base .. 'parents:' .. child)) do
        if not is_live(parent) and not redis.call('ZSCORE', base .. 'awaited', parent) then
          edges.pay(parent)
        end
      end
    end
    if next(edges.came_back) then
      wake()
    end
  end
end
