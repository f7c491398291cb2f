-- What is known of a job from its first claim on: the fields below as one msgpack array, a field of
-- the hash `runs`. So a batch is read or written by one command; a hash for each job cost twice that.
local TOKEN = 1     -- of the last claim
local ORDER = 2     -- its score when it was last claimed
local SIZE = 3      -- bytes of payload, result and error
local STARTED = 4   -- when it was last claimed, microseconds
local WORKER = 5    -- who claimed it
local FAILURES = 6
local CRASHES = 7
local SOLO = 8      -- 0 or 1

-- The runs of jobs; false for those that have none. One that is spoilt counts as none: an error here
-- would cost all jobs that were taken with it, for Redis takes nothing back.
local function read_runs(ids)
  local runs = #ids > 0 and redis.call('HMGET', base .. 'runs', unpack(ids)) or {}
  for number, packed in ipairs(runs) do
    local whole, run = pcall(cmsgpack.unpack, packed)
    runs[number] = whole and type(run) == 'table' and tonumber(run[TOKEN]) and run
  end
  return runs
end

local function new_run(payload_size)
  return {0, 0, math.max(payload_size, 0), 0, '', 0, 0, 0}
end

-- A job's string, or of one that is too long the beginning, which tells that it is: a string of a
-- gigabyte must not come to the worker.
local function cut(job, most)
  return #job > tonumber(most) and string.sub(job, 1, most) or job
end

-- Bytes of a job's string; none if something else has overwritten it.
local function string_size(id)
  local size = redis.pcall('STRLEN', base .. 'job:' .. id)
  return type(size) == 'number' and size or 0
end

-- The first bytes of each string, for a script copies a long one three times.
local function read_pieces(keys, bytes)
  local pieces = {}
  for number, key in ipairs(keys) do
    pieces[number] = redis.pcall('GETRANGE', key, 0, bytes - 1)
  end
  return pieces
end

-- Of each job: id, its run, and its string, or if `piece` is given so many bytes of it. Of one that
-- the store lost, or that something else has overwritten, the string is empty.
local function read_claims(ids, runs, piece)
  local claims, keys = {}, {}
  for number, id in ipairs(ids) do
    keys[number] = base .. 'job:' .. id
  end
  local jobs = piece and read_pieces(keys, piece) or #ids > 0 and redis.call('MGET', unpack(keys))
  for number, id in ipairs(ids) do
    claims[number] = {id, runs[number], type(jobs[number]) == 'string' and jobs[number] or ''}
  end
  return claims
end
