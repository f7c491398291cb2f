-- The keys of jobs: whose they are.

-- Of new jobs: id, key, id, key, ...
local function note_keys(keyed)
  redis.call('HSET', base .. 'keys', unpack(keyed))
end

-- Of jobs that are deleted. One command where no job has a key.
local function forget_keys(ids)
  if redis.call('EXISTS', base .. 'keys') == 1 then
    redis.call('HDEL', base .. 'keys', unpack(ids))
  end
end
