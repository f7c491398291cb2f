-- What a job's record keeps of the runs that did not end it well: `joined` of domain/attempts.py.
local function has_no_error(line)
  for _, beginning in ipairs(ATTEMPTS_WITHOUT_ERROR) do
    if line:sub(HEAD_OF_ATTEMPT + 1, HEAD_OF_ATTEMPT + #beginning) == beginning then
      return true
    end
  end
end

local function with_attempt(kept, started, ended, told)
  local lines, size, stamp = {}, 0, told:match('\t(%x+)')
  for line in (kept or ''):gmatch('[^\n]+') do
    local head, its = line:match('^([^\t]*)\t(%x+)')
    if stamp and its == stamp then
      line = head .. '\t' .. stamp
    end
    lines[#lines + 1], size = line, size + #line + 1
  end
  lines[#lines + 1] = string.format('%016d %016d ', started, ended) .. told
  size = size + #lines[#lines]
  while #lines > MOST_ATTEMPTS do
    local goes = 1
    for older = #lines - 1, 1, -1 do
      goes = has_no_error(lines[older]) and older or goes
    end
    size = size - #table.remove(lines, goes) - 1
  end
  while #lines > 1 and size > MOST_BYTES_OF_ATTEMPTS do
    size = size - #table.remove(lines, 1) - 1
  end
  return table.concat(lines, '\n')
end
