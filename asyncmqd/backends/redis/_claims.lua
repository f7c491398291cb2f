-- What the holder of a job is given.

-- A job's string, or of one that is too long the beginning, which tells that it is: a string of a
-- gigabyte must not come to the worker.
local function cut(job, most)
  return #job > tonumber(most) and string.sub(job, 1, most) or job
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
