-- Lanes in the order of their turns. What stands in a heap is a lane with its `tag` and `key`.
if lanes then
  -- By tag, then by the bytes of the key: what Lua compares itself depends on the host.
  local function comes_first(one, other)
    if one.tag ~= other.tag then
      return one.tag < other.tag
    end
    for at = 1, math.min(#one.key, #other.key) do
      local a, b = one.key:byte(at), other.key:byte(at)
      if a ~= b then
        return a < b
      end
    end
    return #one.key < #other.key
  end

  -- Into lanes that are in order, which are a heap.
  function lanes.insert(sorted, lane)
    local at = 1
    while sorted[at] and comes_first(sorted[at], lane) do
      at = at + 1
    end
    table.insert(sorted, at, lane)
  end

  -- The first one was changed: it goes where it belongs.
  function lanes.sift(heap)
    local lane, at, size = heap[1], 1, #heap
    while 2 * at <= size do
      local child = 2 * at
      if child < size and comes_first(heap[child + 1], heap[child]) then
        child = child + 1
      end
      if comes_first(lane, heap[child]) then
        break
      end
      heap[at], at = heap[child], child
    end
    heap[at] = lane
  end

  function lanes.drop_first(heap)
    local last = table.remove(heap)
    if heap[1] then
      heap[1] = last
      lanes.sift(heap)
    end
  end
end
