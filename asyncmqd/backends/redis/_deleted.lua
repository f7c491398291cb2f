-- What the end of deleted jobs means for others: what waited for them comes back, and of lanes that are
-- empty by now nothing is known any more.
local function free_others(ids)
  if edges then
    edges.settle(ids)
  end
  if lanes then
    lanes.forget_idle()
  end
  if edges and next(edges.came_back) then
    wake()
  end
end
