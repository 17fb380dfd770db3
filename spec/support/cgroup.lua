--- Memory cgroups for specs: what runs in one has as much as it is given, and the kernel ends what takes more.
---
---     local group, reason = cgroups.new(100e6)      -- nil where none can be made
---     server.start({ prefix = group:prefix(), ... })
---
--- Gone with what still runs in them after cgroups.clean(), which belongs into after_each.

local process = require("spec.support.process")
local stat = require("posix.sys.stat")
local unistd = require("posix.unistd")

local M = {}

local made = {}

---@class spec.Cgroup
---@field path string
---@field is_unified boolean version 2
local Cgroup = {}
Cgroup.__index = Cgroup

local V1 = "/sys/fs/cgroup/memory"
local V2 = "/sys/fs/cgroup"

local function write(path, text)
    local file, reason = io.open(path, "w")
    local ok = file and file:write(text) and file:close()
    return ok, reason or "cannot write " .. path
end

---The directory in which groups of the memory controller are made; nil where there is none.
local function find_root()
    if process.read(V1 .. "/memory.limit_in_bytes") then
        return V1, false
    elseif (process.read(V2 .. "/cgroup.subtree_control") or ""):find("memory", 1, true) then
        return V2, true
    end
end

---A group with that much memory, and no swap; nil and the reason where none can be made.
---@param bytes integer
---@return spec.Cgroup? group
---@return string? reason
function M.new(bytes)
    local root, is_unified = find_root()
    if not root then
        return nil, "no cgroup can bound memory here"
    end
    local path = ("%s/moonloop-spec-%d-%d"):format(root, unistd.getpid(), #made + 1)
    local ok, reason = stat.mkdir(path)
    if not ok then
        return nil, "no cgroup can be made here: " .. reason
    end
    local self = setmetatable({ path = path, is_unified = is_unified }, Cgroup)
    made[#made + 1] = self
    ok, reason = write(path .. (is_unified and "/memory.max" or "/memory.limit_in_bytes"), ("%d"):format(bytes))
    write(path .. (is_unified and "/memory.swap.max" or "/memory.memsw.limit_in_bytes"),
        is_unified and "0" or ("%d"):format(bytes)) -- not where the kernel has no swap accounting
    if not ok then
        return nil, "no memory can be bounded here: " .. reason
    end
    return self
end

---Shell words before a command that runs in it.
function Cgroup:prefix()
    return ("echo $$ > %s/cgroup.procs && exec"):format(self.path)
end

---Moves a process there.
---@param pid integer
function Cgroup:add(pid)
    assert(write(self.path .. "/cgroup.procs", ("%d"):format(pid)))
end

---How often the kernel has killed in it.
function Cgroup:kills()
    local text = process.read(self.path .. (self.is_unified and "/memory.events" or "/memory.oom_control"))
    return tonumber(text:match("oom_kill (%d+)"))
end

---@return integer[]
function Cgroup:pids()
    local pids = {}
    for pid in (process.read(self.path .. "/cgroup.procs") or ""):gmatch("%d+") do
        pids[#pids + 1] = tonumber(pid)
    end
    return pids
end

---Ends what is left in them, and removes them.
function M.clean()
    for _, group in ipairs(made) do
        for _, pid in ipairs(group:pids()) do
            pcall(process.kill, pid, "KILL")
        end
        process.wait_for("an empty cgroup", function() return unistd.rmdir(group.path) == 0 end, 10)
    end
    made = {}
end

return M
