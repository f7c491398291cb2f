-- What a queue has of one key.
-- needs:
-- KEYS: the base of the queue
-- ARGV: the key
-- returns: how many permits of the key are held, the ends of the leases of its ghosts, when its bucket
--          would be full again, since when it owes for a dear job, now
local key, ends = ARGV[1], {}
local ghosts = {'[' .. key .. '\0\0', '(' .. key .. '\0\1'}
for _, member in ipairs(redis.call('ZRANGEBYLEX', base .. 'held', unpack(ghosts))) do
  ends[#ends + 1] = redis.call('ZSCORE', base .. 'ghosts', member:sub(#key + 3))
end
local held = redis.call('ZLEXCOUNT', base .. 'held', '[' .. key .. '\0', '(' .. key .. '\1')
local owes_since = redis.call('GET', base .. 'owes:' .. key)
return {held, ends, redis.call('ZSCORE', base .. 'arrivals', key) or '0', owes_since or '0', clock()}
