-- Add jobs of a call in which some have unique names or keys, and wake one waiting instance: one job
-- that has a name, unless a live job has it already, or a page of those that have none. One script for
-- both keeps them in order if the server has to be taught it.
-- needs: _lines _keys _large _add _names _naming _wake
-- KEYS: the base of the queue; the set of all queues, but not in a cluster, where it has another slot
-- ARGV: name of the queue, mark of payloads that were sent ahead, the unique name or '', whether it is
--       held until the claim only (0, 1), microseconds for which it is taken in any case, the keys of
--       the jobs, packed, or '' if none has one; then see _add.lua
-- returns: as add.lua; for a named job the id of the one that the queue has now, and 1 if it is new
local mark, name, keys, id = ARGV[2], ARGV[3], ARGV[6], ARGV[9]
local known = name ~= ''
  and (redis.call('EXISTS', base .. 'job:' .. id) == 1 and id or holder_of(name))
if known then
  if mark ~= '' then
    redis.call('DEL', base .. mark .. id)
  end
  return {known, 0, ''}
end
if #KEYS == 3 then
  redis.call('SADD', KEYS[2], ARGV[1])
end
local answers = add(7, mark, keys ~= '' and cmsgpack.unpack(keys))
for _, answer in ipairs(answers) do
  if answer == 1 then
    wake()
    break
  end
end
if name ~= '' then
  take_name(id, name, ARGV[4] == '1', tonumber(ARGV[5]))
  answers = {id, 1}
end
answers[#answers + 1] = unheard
return answers
