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

-- Eight values behind the byte that says so make a table at once; an array would grow it four times.
local function unpack_run(packed)
  if packed:byte() ~= 0x98 then
    local run = cmsgpack.unpack(packed)
    return type(run) == 'table' and tonumber(run[TOKEN]) and run
  end
  local _, token, order, size, started, worker, failures, crashes, solo = cmsgpack.unpack_limit(packed, 8, 1)
  return tonumber(token) and solo and {token, order, size, started, worker, failures, crashes, solo}
end

local function unpack_runs(packed)
  local runs = {}
  for number, each in ipairs(packed) do
    runs[number] = each and unpack_run(each)
  end
  return runs
end

-- The runs of jobs; false for those that have none. One that is spoilt counts as none: an error here
-- would cost all jobs that were taken with it, for Redis takes nothing back.
local function read_runs(ids)
  local packed = #ids > 0 and redis.call('HMGET', base .. 'runs', unpack(ids)) or {}
  local whole, runs = pcall(unpack_runs, packed)
  for number, each in ipairs(whole and {} or packed) do
    local sound, found = pcall(unpack_run, each)
    packed[number] = sound and found
  end
  return whole and runs or packed
end

local function new_run(payload_size)
  return {0, 0, math.max(payload_size, 0), 0, '', 0, 0, 0}
end

-- Bytes of a job's string; none if something else has overwritten it.
local function string_size(id)
  local size = redis.pcall('STRLEN', base .. 'job:' .. id)
  return type(size) == 'number' and size or 0
end
