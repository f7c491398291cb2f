-- Waiting jobs that have a key enter their lanes, and leave them, at once: what moves jobs from line to
-- line needs to know nothing of lanes.
if lanes then
  local enter_line, leave_line, write = enter, leave, write_lines

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

  -- A job waits no more.
  function leave(line, id)
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

  -- Those that are active no more have no permit of their key.
  function write_lines()
    local ended = leaving[ACTIVE]
    write()
    if ended then
      lanes.let_go(ended)
    end
  end
end
