-- What a job's record keeps of the runs that did not end it well: `joined` of domain/attempts.py.
local function with_attempt(kept, started, ended, told)
  local line = string.format('%016d %016d ', started, ended) .. told
  kept = kept and kept ~= '' and kept .. '\n' .. line or line
  local _, older = kept:gsub('\n', '\n')
  while older >= MOST_ATTEMPTS or older > 0 and #kept > MOST_BYTES_OF_ATTEMPTS do
    kept = kept:sub(kept:find('\n', 1, true) + 1)
    older = older - 1
  end
  return kept
end
