--- Which process and which thread code runs in, by their numbers.

local ffi = require("ffi")

ffi.cdef("int getpid(void); int gettid(void);")

local M = {}

---@return integer
function M.process()
    return ffi.C.getpid()
end

---@return integer
function M.thread()
    return ffi.C.gettid()
end

return M
