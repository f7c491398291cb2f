-- The arguments of changes. First the kinds of change, packed: whom to wake (none, one, all), and of each
-- kind: rank of its edge, whether that leads out of an ended state, whether it may lead out of places of
-- parked jobs, target place, whether it parks, whether to raise the token (0, 1, 2: and the code of its
-- holder runs on; 3: no, and the job did not start), whether the lease must have ended, delay and how long
-- the job is kept (microseconds; -1 by number, -2 not at all), new failures, crashes and solo (nil: as they
-- are), the edge's sources. Then, packed, of each change: number of its kind, id, token, how many of the
-- arguments that follow are its own, which are fields of `left:<id>` and their values.
local kinds_by_text = {} -- for the turns of other queues: most ends of jobs are alike

local function new_kind(row)
  local rank, ended, from_parked, place, parks, holder, lapsed = unpack(row, 1, 7)
  local sources = {}
  for _, source in ipairs(from_parked and with_waiting(row[13]) or row[13]) do
    sources[source] = true
  end
  return {
    rank = rank, ended = ended, place = place, parks = parks, sources = sources,
    outside = holder == 1 or holder == 2, takes_away = holder == 2, unstarted = holder == 3,
    lapsed = lapsed, delay = row[8], kept = row[9], from_parked = from_parked,
    run = {[FAILURES] = row[10], [CRASHES] = row[11], [SOLO] = row[12]},
    rewrites = holder == 1 or holder == 2 or (row[10] or row[11] or row[12]) ~= nil}
end

-- The kinds, all places that are sources of one, and whom to wake.
local function read_kinds(text)
  local rows = cmsgpack.unpack(text)
  local kinds, places, seen, lasts = {wake = rows[1]}, {}, {}, true
  for number = 2, #rows do
    local kind = new_kind(rows[number])
    kinds[number - 1], lasts = kind, lasts and not kind.from_parked
    for place in pairs(kind.sources) do
      places[#places + 1], seen[place] = not seen[place] and place or nil, true
    end
  end
  kinds.places = places
  kinds_by_text[text] = lasts and kinds or nil
  return kinds
end

-- The changes that stand from an argument on, the ids of their jobs, and their kinds.
local function read_changes(at)
  local changes, ids = {}, {}
  local kinds, rows = kinds_by_text[ARGV[at]] or read_kinds(ARGV[at]), cmsgpack.unpack(ARGV[at + 1])
  at = at + 1
  for row = 1, #rows, 4 do
    local number, count = #ids + 1, rows[row + 3]
    ids[number] = rows[row + 1]
    changes[number] = {
      number = number, kind = kinds[rows[row]], id = ids[number], token = rows[row + 2],
      left = count > 0 and {unpack(ARGV, at + 1, at + count)}}
    at = at + count
  end
  return changes, ids, kinds
end
