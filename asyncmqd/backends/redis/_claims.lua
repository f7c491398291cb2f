-- What the holder of a job is given.

-- A job's string, or of one that is too long the beginning, which tells that it is: a string of a
-- gigabyte must not come to the worker.
local function cut(job, most)
  return #job > most and string.sub(job, 1, most) or job
end

-- The first bytes of each string, for a script copies a long one three times.
local function read_pieces(keys, bytes)
  local pieces = {}
  for number, key in ipairs(keys) do
    pieces[number] = redis.pcall('GETRANGE', key, 0, bytes - 1)
  end
  return pieces
end

-- The string of each job, or if `piece` is given so many bytes of it. Of one that the store lost, or
-- that something else has overwritten, it is empty.
local function read_jobs(ids, piece)
  local keys = {}
  for number, id in ipairs(ids) do
    keys[number] = base .. 'job:' .. id
  end
  local jobs = piece and read_pieces(keys, piece) or #ids > 0 and redis.call('MGET', unpack(keys)) or {}
  for number, job in ipairs(jobs) do
    jobs[number] = type(job) == 'string' and job or ''
  end
  return jobs
end

-- Adds to a reply of claims the ids (packed), the packed runs one after the other (an empty one of a job whose
-- run the store lost), and the string of each job: a table of each would cost more than what is in it.
local function columns(reply, ids, runs, jobs, most)
  for number, job in ipairs(jobs) do
    runs[number], jobs[number] = runs[number] or '\144', cut(job, most)
  end
  reply[#reply + 1], reply[#reply + 2] = cmsgpack.pack(ids), table.concat(runs)
  for _, job in ipairs(jobs) do
    reply[#reply + 1] = job
  end
end

-- with: _first_run
