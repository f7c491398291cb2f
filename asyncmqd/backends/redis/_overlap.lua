-- What an instant does beside a job of its schedule that has not ended.

-- Whether the instant is skipped; else the id of the job, or the ghost, that its own has to wait for, if
-- there is one, and the ids of those that are cancelled first: see domain/overlap.py.
local function at_overlap(overlap, last, before)
  local cancels = {}
  if overlap == 'allow' then
    return false, nil, cancels
  end
  for _, id in ipairs({last or '', before or ''}) do
    local ghost = redis.call('ZSCORE', base .. 'awaited', id)
    if ghost or is_live(id) then
      local is_held = redis.call('ZSCORE', base .. BLOCKED, id)
      if overlap == 'skip' or overlap == 'queue' and is_held then
        return true
      elseif overlap == 'queue' or ghost then
        return false, id, cancels
      end
      cancels[#cancels + 1] = id
      if not is_held then
        break
      end
    end
  end
  return false, nil, cancels
end
