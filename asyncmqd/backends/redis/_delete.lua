-- Of jobs that are deleted. A name that is taken for a time stays so only if they are `pruned`. One
-- command where no job has a name.
local function forget_names(ids, pruned)
  if not has_names() then
    return
  end
  for _, id in ipairs(ids) do
    local name = name_of(id)
    if name and redis.call('HGET', base .. 'names', name) == id
      and not (pruned and is_taken_for_a_time(name)) then
      redis.call('HDEL', base .. 'names', name)
      redis.call('ZREM', base .. 'reserved', name)
    end
  end
  redis.call('HDEL', base .. 'named', unpack(ids))
end

-- Delete jobs that stand in the places `where`; `ended` has those places that are ended ones. A
-- claim in the place `active` keeps its permit, for the code of its holder runs on. `pruned` says that
-- nobody in particular wants it.
local function delete(ids, where, ended, active, pruned)
  if #ids == 0 then
    return
  end
  local keys, bytes, runs, live = {}, 0, read_runs(ids), {}
  for number, id in ipairs(ids) do
    if where[number] == active and runs[number] then
      ghost(id, runs[number][TOKEN], redis.call('ZSCORE', base .. active, id))
    end
    keys[2 * number - 1], keys[2 * number] = base .. 'job:' .. id, base .. 'left:' .. id
    leave(where[number], id)
    if ended[where[number]] then
      leave('counted', id)
      leave('expiry', id)
      bytes = bytes + (runs[number] and runs[number][SIZE] or 0)
    else
      live[#live + 1] = id
    end
  end
  write_lines()
  note_passed(ids, where, ended)
  forget_names(ids, pruned)
  redis.call('DEL', unpack(keys))
  redis.call('HDEL', base .. 'runs', unpack(ids))
  if redis.call('EXISTS', base .. 'costs') == 1 then
    redis.call('HDEL', base .. 'costs', unpack(ids))
  end
  redis.call('DECRBY', base .. 'bytes', bytes)
  forget_keys(ids)
  tell(live)
end
