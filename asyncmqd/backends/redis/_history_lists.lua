-- The lists of the periods of a queue's past, in their order.

-- What a command reads from a key, unpacked.
local function read_packed(command, key)
  local packed = redis.call(command, key)
  return packed and cmsgpack.unpack(packed)
end

-- Join a period to those of a list; see `history.put`.
local function put(key, period, latest)
  local last, later = read_packed('RPOP', key), {}
  while last and last[MINUTE] > period[MINUTE] do
    if last[MINUTE] <= latest then
      table.insert(later, 1, cmsgpack.pack(last))
    end
    last = read_packed('RPOP', key)
  end
  if last and last[MINUTE] == period[MINUTE] then
    period = join(last, period)
  elseif last then
    table.insert(later, 1, cmsgpack.pack(period))
    period = last
  end
  redis.call('RPUSH', key, cmsgpack.pack(period), unpack(later))
end

-- Take periods from the head of a list that are not later than `minute`.
local function take_old(key, minute, use)
  local packed = redis.call('LINDEX', key, 0)
  while packed do
    local period = cmsgpack.unpack(packed)
    if period[MINUTE] > minute then
      return
    end
    redis.call('LPOP', key)
    use(period)
    packed = redis.call('LINDEX', key, 0)
  end
end
