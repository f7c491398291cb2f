-- Makes the packed runs of jobs that are claimed for the first time: tables would cost twice that.
local function first_run(started, worker)
  local rest = cmsgpack.pack(started) .. cmsgpack.pack(worker) .. '\0\0\0'
  return function(order, size)
    return '\152\1' .. cmsgpack.pack(order) .. cmsgpack.pack(math.max(size - 19, 0)) .. rest
  end
end
