-- The arguments of turn.lua, from the eleventh on. First the number of kinds of change, and of each:
-- rank of its edge, whether that leads out of an ended state (0, 1), whether it may lead out of
-- places of parked jobs (0, 1), target place, whether it parks (0, 1), whether to raise the token (0, 1,
-- 2: and the code of its holder runs on; 3: no, and the job did not start),
-- whether the lease must have ended (0, 1), delay and how long the job is kept (microseconds; -1 by
-- number, -2 not at all), new failures, crashes and solo (empty: as they are), the number of the
-- edge's sources, the sources. Then, packed, of each change: number of its kind, id, token, how many of
-- the arguments that follow are its own, which are fields of `left:<id>` and their values.
local at = 11

local function read_kind()
  local rank, ended, from_parked, place, parks, outside, lapsed = unpack(ARGV, at + 1, at + 7)
  local delay, kept, failures, crashes, solo, count = unpack(ARGV, at + 8, at + 13)
  local sources = {unpack(ARGV, at + 14, at + 13 + count)}
  at = at + 13 + count
  local kind = {
    rank = rank, ended = ended == '1', place = place, parks = parks == '1', sources = {},
    outside = outside == '1' or outside == '2', takes_away = outside == '2', unstarted = outside == '3', lapsed = lapsed == '1', delay = tonumber(delay),
    kept = tonumber(kept), run = {
      [FAILURES] = tonumber(failures), [CRASHES] = tonumber(crashes), [SOLO] = tonumber(solo)}}
  for _, source in ipairs(from_parked == '1' and with_waiting(sources) or sources) do
    kind.sources[source] = true
  end
  kind.rewrites = kind.outside or next(kind.run) ~= nil
  return kind
end

-- The kinds, and all places that are sources of one.
local function read_kinds()
  local kinds, places, seen = {}, {}, {}
  for number = 1, tonumber(ARGV[11]) do
    kinds[number] = read_kind()
    for place in pairs(kinds[number].sources) do
      places[#places + 1], seen[place] = not seen[place] and place or nil, true
    end
  end
  return kinds, places
end

-- The changes, the ids of their jobs, and all places in which these may stand.
local function read_changes()
  local changes, ids = {}, {}
  local kinds, places = read_kinds()
  local rows = cmsgpack.unpack(ARGV[at + 1])
  at = at + 1
  for row = 1, #rows, 4 do
    local number, count = #ids + 1, rows[row + 3]
    ids[number] = rows[row + 1]
    changes[number] = {
      number = number, kind = kinds[rows[row]], id = ids[number], token = rows[row + 2],
      left = count > 0 and {unpack(ARGV, at + 1, at + count)}}
    at = at + count
  end
  return changes, ids, places
end
