-- Of each job: id, place, score, the string of the job, its run, and the hash of what was left; of one
-- that has a unique name also this, and the id of the live job that has it now, or an empty one; of one
-- that has a key both of them, empty if need be, and the key; of a blocked one all three, and those
-- that it waits for.
local function add_names(records)
  for _, record in ipairs(redis.call('EXISTS', base .. 'named') == 1 and records or {}) do
    local name = record and name_of(record[1])
    if name then
      record[7], record[8] = name, holder_of(name) or ''
    end
  end
end

local function add_keys(records, ids)
  local keys = #ids > 0 and redis.call('EXISTS', base .. 'keys') == 1
    and redis.call('HMGET', base .. 'keys', unpack(ids)) or {}
  for number, key in ipairs(keys) do
    local record = records[number]
    if record and key then
      record[7], record[8], record[9] = record[7] or '', record[8] or '', key
    end
  end
end

local function add_parents(records, where)
  for number, record in ipairs(records) do
    if where[number] == BLOCKED then
      record[7], record[8], record[9] = record[7] or '', record[8] or '', record[9] or ''
      record[10] = redis.call('SMEMBERS', base .. 'parents:' .. record[1])
    end
  end
end

local function read_records(ids, where, scores)
  local runs = #ids > 0 and redis.call('HMGET', base .. 'runs', unpack(ids))
  local records = {}
  for number, id in ipairs(ids) do
    records[number] = where[number] and {
      id, where[number], scores[number], redis.call('GET', base .. 'job:' .. id), runs[number],
      redis.call('HGETALL', base .. 'left:' .. id)} or false
  end
  add_names(records)
  add_keys(records, ids)
  add_parents(records, where)
  return records
end
