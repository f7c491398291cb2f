-- No script looks for lanes any more where no job has a key.
local function forget_laned()
  if lanes and redis.call('EXISTS', base .. 'keys', base .. 'ghost_keys') == 0 then
    redis.call('DEL', base .. 'laned')
  end
end
