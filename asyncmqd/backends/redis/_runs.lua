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

-- Bytes of a job's string; none if something else has overwritten it.
local function string_size(id)
  local size = redis.pcall('STRLEN', base .. 'job:' .. id)
  return type(size) == 'number' and size or 0
end
