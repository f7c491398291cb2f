-- Waiting jobs that have a key enter their lanes, and leave them, at once: what moves jobs from line to
-- line needs to know nothing of lanes.
if lanes then
  local enter_line, leave_line, write, ended = enter, leave, write_lines, {}

  -- A job waits, at its place in the order of its lane.
  local function enter_lane(key, score, id)
    local level = math.floor(score / lanes.PRIORITY)
    redis.call('ZADD', base .. 'keyed', score, id)
    redis.call('ZADD', lanes.of(key, level), score, id)
    if redis.call('ZSCORE', base .. 'closed', key) then
      redis.call('SADD', base .. 'shut:' .. key, level)
    elseif not redis.call('ZSCORE', lanes.name('ready', level), key) then
      lanes.activate(key, level)
    end
  end

  -- `key` is known of new jobs only; an empty one is none.
  function enter(line, score, id, key)
    key = line == WAITING and (key or redis.call('HGET', base .. 'keys', id))
    if key and key ~= '' then
      enter_lane(key, tonumber(score), id)
    else
      enter_line(line, score, id)
    end
  end

  -- A job waits no more, or has no permit of its key any more once the lines are written.
  function leave(line, id)
    ended[#ended + 1] = line == ACTIVE and id or nil
    if line ~= 'keyed' then
      return leave_line(line, id)
    end
    local key = redis.call('HGET', base .. 'keys', id)
    local level = math.floor(redis.call('ZSCORE', base .. 'keyed', id) / lanes.PRIORITY)
    redis.call('ZREM', base .. 'keyed', id)
    redis.call('ZREM', lanes.of(key, level), id)
    if redis.call('EXISTS', lanes.of(key, level)) == 0 then
      lanes.deactivate(level, {key}, {redis.call('ZSCORE', lanes.name('ready', level), key)})
      if redis.call('SREM', base .. 'shut:' .. key, level) == 1
        and redis.call('EXISTS', base .. 'shut:' .. key) == 0 then
        redis.call('ZREM', base .. 'closed', key)
      end
    end
  end

  function write_lines()
    write()
    if #ended > 0 then
      lanes.let_go(ended)
      ended = {}
    end
  end
end
