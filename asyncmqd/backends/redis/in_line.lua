-- What stands before a waiting job.
-- needs: _lanes
-- KEYS: the base of the queue
-- ARGV: its id
-- returns: how many jobs of its key start before it, how many keys take a turn before its own (-1: its own
--          takes none), how many jobs of others have a better priority, how many wait, the first of its key;
--          nothing if it does not wait
local id, first = ARGV[1], false
local line = base .. WAITING
local score = redis.call('ZSCORE', line, id)
local plain, keyed = redis.call('ZCARD', line), redis.call('ZCARD', base .. 'keyed')
local key = ''
if not score then
  key, score = redis.call('HGET', base .. 'keys', id), redis.call('ZSCORE', base .. 'keyed', id)
end
if not score then
  return {}
end
local level = math.floor(score / 2 ^ 44)
local begin, behind = string.format('(%d', level * 2 ^ 44), string.format('(%d', (level + 1) * 2 ^ 44)

-- How many jobs of a line have a better priority.
local function better_of(place)
  return redis.call('ZCOUNT', base .. place, '-inf', begin)
end

if not lanes then
  return {redis.call('ZRANK', line, id), 0, 0, 0, redis.call('ZRANGE', line, 0, 0)[1]}
end
local ready, tag = lanes.name('ready', level), lanes.start_tag('', level)
if key == '' then
  local turns = redis.call('ZCOUNT', ready, '-inf', string.format('(%d', tag))
  first = redis.call('ZRANGE', line, 0, 0)[1]
  return {redis.call('ZRANK', line, id), turns, better_of('keyed'), keyed, first}
end
local ahead, own, better = redis.call('ZRANK', lanes.of(key, level), id), 0, better_of(WAITING) + better_of('keyed')
for each = 0, 255 do
  local number = redis.call('ZCARD', lanes.of(key, each))
  own = own + number
  first = first or redis.call('ZRANGE', lanes.of(key, each), 0, 0)[1]
  if each < level then
    ahead, better = ahead + number, better - number
  end
end
local turns = redis.call('ZRANK', ready, key)
if turns and tag <= tonumber(redis.call('ZSCORE', ready, key))
  and redis.call('ZCOUNT', line, string.format('%d', level * 2 ^ 44), behind) > 0 then
  turns = turns + 1 -- of the jobs without a key
end
return {ahead, turns or -1, better, plain + keyed - own, first}
