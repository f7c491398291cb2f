-- Delete jobs that stand in the places `where`; `ended` has those places that are ended ones. A
-- claim in the place `active` keeps its permit, for the code of its holder runs on.
local function delete(ids, where, ended, active)
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
  redis.call('DEL', unpack(keys))
  redis.call('HDEL', base .. 'runs', unpack(ids))
  redis.call('DECRBY', base .. 'bytes', bytes)
  forget_names(ids)
  tell(live)
end
