-- The limits of keys. Most queues that have keys have none of these: the functions are made when they are asked for.
if lanes then
  -- By how much a start sets a key back, where no key has a weight.
  function lanes.step()
    return 1000
  end

  function lanes.know_limits()
    if not lanes.judge_by then
      -- with: _key_gate _key_judging _closed_keys
    end
    return lanes
  end
end
