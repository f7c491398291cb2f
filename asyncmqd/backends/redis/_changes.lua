-- The arguments of apply.lua, from the second on: the number of edges, and of each edge: rank,
-- whether it leads out of an ended state (0, 1), whether shelves are among its sources (0, 1), the
-- number of its sources, the sources; then of each change: number of its edge, id, token, target
-- place, whether that is a shelf (0, 1), whether the lease must have ended (0, 1), delay and how long
-- the job is kept (microseconds; -1 by number, -2 not at all), the new token, failures, crashes and
-- solo (empty: as they are), the number of further arguments, fields of `left:<id>` and their values
local at = 2
local function take(count)
  at = at + count
  return unpack(ARGV, at - count + 1, at)
end

local function read_edges()
  local edges, places = {}, {}
  for number = 1, tonumber(ARGV[2]) do
    local rank, ended, shelved, count = take(4)
    local edge = {rank = rank, ended = ended == '1', sources = {}}
    local sources = {take(tonumber(count))}
    for _, place in ipairs(shelved == '1' and with_shelves(sources) or sources) do
      edge.sources[place], places[place] = true, true
    end
    edges[number] = edge
  end
  local names = {}
  for place in pairs(places) do
    names[#names + 1] = place
  end
  return edges, names
end

-- The changes, the ids of their jobs, and all places in which these may stand.
local function read_changes()
  local changes, ids = {}, {}
  local edges, places = read_edges()
  while at < #ARGV do
    local edge, id, token, place, shelf, lapsed, delay, kept = take(8)
    local new_token, failures, crashes, solo, count = take(5)
    ids[#ids + 1] = id
    changes[#ids] = {
      edge = edges[tonumber(edge)], id = id, token = tonumber(token), place = place,
      shelf = shelf == '1', lapsed = lapsed == '1', kept = tonumber(kept),
      -- A microsecond more for each keeps jobs of the same moment in order.
      delay = tonumber(delay) + #ids, left = {take(tonumber(count))},
      run = {
        [TOKEN] = tonumber(new_token), [FAILURES] = tonumber(failures),
        [CRASHES] = tonumber(crashes), [SOLO] = tonumber(solo)}}
  end
  return changes, ids, places
end
