-- What is sought in jobs; an empty value is in all of them.

-- Whether a job has all of it: bytes among the first `size` of its payload, its key, bytes in its error,
-- and that it was added until a moment (nil: whenever).
local function has_all(id, head, size, key, failure, added_until)
  if key ~= '' and redis.call('HGET', base .. 'keys', id) ~= key then
    return false
  end
  if added_until or head ~= '' then
    local string = redis.pcall('GETRANGE', base .. 'job:' .. id, 0, head == '' and 15 or 18 + size)
    string = type(string) == 'string' and string or ''
    if added_until and (tonumber(string:sub(1, 16)) or 0) > added_until
      or head ~= '' and not string:find(head, 20, true) then
      return false
    end
  end
  return failure == '' or (redis.call('HGET', base .. 'left:' .. id, 'error') or ''):find(failure, 1, true)
end
