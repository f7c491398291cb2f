-- Of each job: id, place, score, the string of the job, its run, and what was left: error, result, progress; then what
-- only some have, with what is empty before it: the unique name and the id of the live job that has it now,
-- the key, the jobs that a blocked one waits for, and what one costs that does not cost one token.
local EMPTY = {[7] = '', [8] = '', [9] = '', [10] = {}}

local function put(record, at, value)
  for field = 7, at - 1 do
    record[field] = record[field] or EMPTY[field]
  end
  record[at] = value
end

local function add_names(records)
  for _, record in ipairs(redis.call('EXISTS', base .. 'named') == 1 and records or {}) do
    local name = record and name_of(record[1])
    if name then
      record[7], record[8] = name, holder_of(name) or ''
    end
  end
end

-- From a hash that has the values of some jobs, by id.
local function add_from(hash, at, records, ids)
  local values = #ids > 0 and redis.call('EXISTS', base .. hash) == 1
    and redis.call('HMGET', base .. hash, unpack(ids)) or {}
  for number, value in ipairs(values) do
    if records[number] and value then
      put(records[number], at, value)
    end
  end
end

-- The string of a job; if it has more than `most` bytes, what stands before its payload.
local function read_job(id, most)
  local found = redis.call('GETRANGE', base .. 'job:' .. id, 0, most)
  return found:sub(1, #found > tonumber(most) and 19 or -1)
end

local function read_records(ids, where, scores, most)
  local runs = #ids > 0 and redis.call('HMGET', base .. 'runs', unpack(ids))
  local records = {}
  for number, id in ipairs(ids) do
    records[number] = where[number] and {id, where[number], scores[number], read_job(id, most), runs[number],
      redis.call('HMGET', base .. 'left:' .. id, 'error', 'result', 'progress')} or false
  end
  add_names(records)
  add_from('keys', 9, records, ids)
  for number, record in ipairs(records) do
    if where[number] == BLOCKED then
      put(record, 10, redis.call('SMEMBERS', base .. 'parents:' .. record[1]))
    end
  end
  add_from('costs', 11, records, ids)
  return records
end
