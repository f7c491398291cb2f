-- The keys of jobs: whose they are.

-- Of new jobs: id, key, id, key, ...
local function note_keys(keyed)
  redis.call('HSET', base .. 'keys', unpack(keyed))
  redis.call('SET', base .. 'laned', 1)
end

-- Of jobs that are deleted.
local function forget_keys(ids)
  if lanes then
    redis.call('HDEL', base .. 'keys', unpack(ids))
    forget_laned()
  end
end
