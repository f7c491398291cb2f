-- The lines that jobs stand in. Moves are gathered, so that a line is written once for many jobs.
local leaving, entering = {}, {}

local function leave(line, id)
  local ids = leaving[line] or {}
  leaving[line], ids[#ids + 1] = ids, id
end

local function enter(line, score, id)
  local scores = entering[line] or {}
  entering[line], scores[#scores + 1], scores[#scores + 2] = scores, score, id
end

local function write_lines()
  for line, ids in pairs(leaving) do
    redis.call('ZREM', base .. line, unpack(ids))
  end
  for line, scores in pairs(entering) do
    redis.call('ZADD', base .. line, unpack(scores))
  end
  leaving, entering = {}, {}
end

-- The place and the score of each job that stands in one of `places`.
local function locate(ids, places)
  local where, scores = {}, {}
  for _, place in ipairs(#ids > 0 and places or {}) do
    for number, score in ipairs(redis.call('ZMSCORE', base .. place, unpack(ids))) do
      if score then
        where[number], scores[number] = place, score
      end
    end
  end
  return where, scores
end

-- The score behind all waiting jobs of its priority: 8 bits of priority, 44 bits of sequence.
local function tail(id)
  local priority = tonumber(redis.pcall('GETRANGE', base .. 'job:' .. id, 16, 18)) or 0
  return priority * 2 ^ 44 + redis.call('INCR', base .. 'seq')
end
