-- Add jobs of a call in which some have unique names or keys, and wake one waiting instance: one job
-- that has a name, unless a live job has it already, or a page of those that have none. One script for
-- both keeps them in order if the server has to be taught it.
-- needs: _runs _laning _lanes _lines _lane_moves _laned _keys _costs _blocked _large_payloads _add _names _naming _wake _successors _replace
-- KEYS: the base of the queue; the set of all queues, but not in a cluster, where it has another slot
-- ARGV: name of the queue, mark of payloads that were sent ahead, the unique name or '', whether it is
--       held until the claim only (0, 1), microseconds for which it is taken in any case, what becomes
--       of the holder, microseconds after its enqueue to which it is pushed at most, the keys of the
--       jobs, packed, or '' if none has one, what they cost, packed, or '' if all cost one token; then
--       see _add.lua
-- returns: as add.lua; for a named job the id of the one that the queue has now, and 1 if it is new, 2
--       if it has come in the place of another
local mark, name, id = ARGV[2], ARGV[3], ARGV[12]
local keys = ARGV[8] ~= '' and cmsgpack.unpack(ARGV[8])
local costs = ARGV[9] ~= '' and cmsgpack.unpack(ARGV[9])
local is_known = name ~= '' and redis.call('EXISTS', base .. 'job:' .. id) == 1
local known = name ~= '' and (is_known and id or holder_of(name))
local after
if known and not is_known and ARGV[6] == 'again' and is_live(known) and not is_replaceable(known) then
  after, known = known, successor_of(known, name)
end
if known then
  if not is_known and ARGV[6] ~= 'existing'
    and replace(known, mark, 12, ARGV[6] == 'push', tonumber(ARGV[7]), costs and costs[1] or 1) then
    return {known, 2, unheard}
  end
  if mark ~= '' then
    redis.call('DEL', base .. mark .. id)
  end
  return {known, 0, ''}
end
if #KEYS == 3 then
  redis.call('SADD', KEYS[2], ARGV[1])
end
local answers = add(10, mark, keys, after)
for number, answer in ipairs(answers) do
  if answer == 1 and costs then
    note_cost(ARGV[8 + 4 * number], costs[number])
  end
end
for _, answer in ipairs(answers) do
  if answer == 1 then
    wake()
    break
  end
end
if name ~= '' then
  take_name(id, name, ARGV[4] == '1', tonumber(ARGV[5]), after)
  answers = {id, 1}
end
answers[#answers + 1] = unheard
return answers
