-- What every script starts with.
--
-- KEYS[1], the base of a queue, is the beginning of all its keys: `asyncmq:{mail}:`. The keys of
-- jobs cannot be listed beforehand, for a claim learns them here; the tag keeps them in one slot. The
-- last of KEYS is `<base>guard`, which does not exist, see `call` in scripts.py.
--   job:<id>    string: when it was added (16 digits, microseconds), its priority (3), the payload
--   runs        hash of the jobs that were claimed, see _runs.lua
--   left:<id>   hash: the error, result and progress that runs left, if any; and the last attempts
--   <place>     sorted set of ids, one for each place; a job is in exactly one
--   shelves     set of the places of parked jobs, the name is of layout 1
--   expiry      sorted set of the ended jobs that are kept for a time, by its end
--   counted     sorted set of the ended jobs that are kept by number, oldest first
--   part:<nonce>:<id>  a payload on its way to `job:<id>`, for a minute, see large_payloads.py
--   named       hash: the digest of a unique job's name, by id; with a w: held until the claim only
--   names       hash: the id of the job that took a name last, by the digest
--   reserved    sorted set of the names that are taken for a time, by its end
--   parents:<id>  set of the jobs, or ghosts, that a blocked one waits for; children:<id>  sorted set of
--               the blocked jobs that wait for this one, first come first
--   awaited     sorted set of the ghosts that jobs have to wait for, by the end of their leases
--   keys        hash: the key of each job that has one, by id
--   laned       exists if there are any: else no script looks for lanes
--   keyed       sorted set: the place of waiting jobs that have a key, ordered as `waiting`
--   lane:<priority>:<key>  sorted set: the same of one priority and key
--   levels      sorted set of the priorities that have lanes with jobs
--   ready:<priority>, idle:<priority>  sorted sets: the tags of lanes with jobs; of other lanes
--   reached     hash: virtual time, by priority
--   held, ghost_keys, arrivals, told, closed, shut:<key>  of limits of keys, see _closed_keys.lua
--   costs, owes:, owes:<key>  what jobs cost, and what buckets owe for it, see _costs.lua
--   bytes, seq, layout  the size of all ended jobs; the last number drawn for a waiting job; see migration.py
--   waiters     set of the channels of idle instances
--   held_back   set of the channels of instances that found no permit left, see _limits.lua
--   limits      what limits of all daemons were declared, packed, see _limits.lua
--   arrival     when the bucket of their rate would be full again, microseconds
--   ghosts      sorted set of claims that keep a permit, by the end of their leases, see _limits.lua
--   hearers     set of the channels of processes that wait for jobs to end
--   paused      string: when it was paused (16 digits, microseconds), JSON of by whom and why; or 1
--   schedules, schedule:<name>, and of the past, see note.lua: passed, totals, minutes, half_hours; operations, see _operations.lua
local base = KEYS[1]
-- Keys that belong to no queue end otherwise, and have no neighbours in their slot.
local lanes, edges = false, false -- or tables, to which other parts add functions
if base:sub(-1) == ':'
  and redis.call('EXISTS', base .. 'layout', base .. 'laned', base .. BLOCKED, base .. 'awaited') > 0 then
  local found, laned = unpack(redis.call('MGET', base .. 'layout', base .. 'laned'))
  if found and found ~= LAYOUT then
    return redis.error_reply('LAYOUT ' .. found)
  end
  lanes, edges = laned and {}, redis.call('EXISTS', base .. BLOCKED, base .. 'awaited') > 0 and {}
end

-- Microseconds are whole numbers below 2^53: exact in Lua and as scores. Only never join them with
-- `..`, which rounds to 14 digits.
local function clock()
  local time = redis.call('TIME')
  return time[1] * 1000000 + time[2]
end
