-- Of each job: id, place, score, the string of the job, its run, and the hash of what was left.
local function read_records(ids, where, scores)
  local runs = #ids > 0 and redis.call('HMGET', base .. 'runs', unpack(ids))
  local records = {}
  for number, id in ipairs(ids) do
    records[number] = where[number] and {
      id, where[number], scores[number], redis.call('GET', base .. 'job:' .. id), runs[number],
      redis.call('HGETALL', base .. 'left:' .. id)} or false
  end
  return records
end
