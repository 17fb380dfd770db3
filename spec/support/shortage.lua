--- Memory that is refused to a process on purpose: core/base/shortage.h, in builds that have it.
---
---     local shortage = require("spec.support.shortage").new(directory)
---     local site = server.start({ env = shortage.env, ... })
---     shortage:arm(pid, 12, 1)     -- the twelfth allocation from now on fails
---     ... shortage:disarm() ... shortage.refused

local core = require("spec.support.core")
local ffi = require("ffi")

core.declare("base/shortage.h")
ffi.cdef([[
    int open(const char *, int, ...);
    int close(int);
    int ftruncate(int, long);
    void *mmap(void *, size_t, int, int, int, long);
    int munmap(void *, size_t);
]])

local M = {}

local O_RDWR, O_CREAT = 2, 64
local PROT_READ_WRITE, MAP_SHARED = 3, 1

---Whether this build can refuse memory.
M.is_built = pcall(function()
    return ffi.C.shortage_strikes
end)

---Whether it does so all the time, and reads byte by byte: STRESS.
M.is_regular = M.is_built and ffi.C.shortage_is_regular()

---@class spec.Shortage
---@field env table<string, string> for the processes that are to feel it
---@field private at ffi.cdata*
local Shortage = {}
Shortage.__index = Shortage

M.ALL = 2 ^ 50

---@param directory string where its file is kept
---@return spec.Shortage
function M.new(directory)
    local path = directory .. "/shortage"
    local bytes = ffi.sizeof("struct shortage")
    local fd = ffi.C.open(path, O_RDWR + O_CREAT, ffi.cast("int", 384))
    assert(fd >= 0 and ffi.C.ftruncate(fd, bytes) == 0)
    local map = ffi.C.mmap(nil, bytes, PROT_READ_WRITE, MAP_SHARED, fd, 0)
    ffi.C.close(fd)
    return setmetatable({
        env = { SHORTAGE_FILE = path },
        at = ffi.gc(ffi.cast("struct shortage *", map), function(at)
            ffi.C.munmap(at, bytes)
        end),
    }, Shortage)
end

---From now on, the process's allocations are counted, and `count` of them fail, from number `from` on; 0: none.
---@param pid integer
---@param from integer
---@param count? integer
function Shortage:arm(pid, from, count)
    local at = self.at
    at.pid = 0
    at.from, at.count, at.seen, at.refused = from, count or 1, 0, 0
    at.pid = pid
end

---@return integer seen how many allocations there were
---@return integer refused
function Shortage:disarm()
    self.at.pid = 0
    return tonumber(self.at.seen), tonumber(self.at.refused)
end

---Whether the first that is refused is shown with what called it, on the process's standard error.
---@param is_on boolean
function Shortage:trace(is_on)
    self.at.traced = is_on and 1 or 0
end

return M
