--- A gate between a task and a job on another thread or in another process: a file that one of them makes and the
--- other waits for. What a job is given is the path.

local M = {}

---@return string path of a gate that is closed: there is no such file
function M.new()
    local path = os.tmpname()
    os.remove(path)
    return path
end

---@param path string
function M.open(path)
    io.open(path, "w"):close()
end

---@param path string
---@return boolean
function M.is_open(path)
    local file = io.open(path)
    if file then
        file:close()
    end
    return file ~= nil
end

---Blocks its thread, not only its task, until the gate is open. Has no upvalues: it can be a job by itself.
---@param path string
function M.block_until(path)
    local ffi = require("ffi")
    ffi.cdef("int usleep(unsigned int);")
    local file
    repeat
        ffi.C.usleep(1000)
        file = io.open(path)
    until file
    file:close()
end

return M
