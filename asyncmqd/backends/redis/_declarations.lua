-- What is declared of limits over all daemons, and which of two declarations is in force. In _limits.lua.

-- `rest`: 'limits' and these, packed. Not as a table: an empty one of Lua would be packed as an array.
function limits.packed(declared, rest)
  local told = {'since', declared.since, 'by', declared.by, 'restored', declared.restored or 0}
  return string.char(0x84) .. cmsgpack.pack(unpack(told)) .. rest
end

-- Of two declarations, packed, the one that is in force; false if there is none. One that was lost
-- is written again.
function limits.in_force(stored, told)
  local known, other = stored and cmsgpack.unpack(stored), told ~= '' and cmsgpack.unpack(told)
  if other and (not known or other.since > known.since) then
    other.restored = clock() / 1000000
    told = limits.packed(other, told:sub((told:find(cmsgpack.pack('limits'), 1, true))))
    redis.call('SET', base .. 'limits', told)
    redis.call('ZUNIONSTORE', base .. 'closed', 1, base .. 'closed', 'WEIGHTS', 0) -- all are due
    return told, other
  end
  return stored, known
end
