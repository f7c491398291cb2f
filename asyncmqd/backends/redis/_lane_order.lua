-- Lanes in the order of their turns: each has its `tag` and `key`.
if lanes then
  local byte = string.byte

  -- By tag, then by the bytes of the key: what Lua compares itself depends on the host.
  local function comes_first(one, other)
    if one.tag ~= other.tag then
      return one.tag < other.tag
    end
    for at = 1, math.min(#one.key, #other.key) do
      local a, b = byte(one.key, at), byte(other.key, at)
      if a ~= b then
        return a < b
      end
    end
    return #one.key < #other.key
  end

  -- Into lanes that are in order. Mostly it comes last: it has just had a turn.
  function lanes.insert(sorted, lane)
    local at = #sorted
    while at > 0 and comes_first(lane, sorted[at]) do
      at = at - 1
    end
    table.insert(sorted, at + 1, lane)
  end

  -- The lane whose turn is next: of those that had none yet, from `at` on, and of those that had one. And
  -- where the former go on.
  function lanes.next_of(first, at, again)
    if first[at] and not (again[1] and comes_first(again[1], first[at])) then
      return first[at], at + 1
    end
    return table.remove(again, 1), at
  end

  -- A lane had a turn, of which so many are left. It gets another only if the lanes from `at` on, each of
  -- which has a job, are too few or not all before it.
  function lanes.come_again(first, at, again, lane, left)
    local enough = #first - at + 1 >= left and left > 0 and lane.tag > first[#first].tag
    if lane.left > lane.served and not enough then
      lanes.insert(again, lane)
    end
  end
end
