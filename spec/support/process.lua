--- Processes for specs: starts them, waits for what they do, and ends them by their id.
---
---     local child = process.spawn({ "sleep", "5" })
---     process.wait_for("the file", function() return process.read(path) end)
---     child:kill("TERM")
---     local how, code = child:wait()
---
--- Everything that was spawned and every directory that was made is gone after process.clean(), which
--- belongs into after_each.

local ffi = require("ffi")
local fcntl = require("posix.fcntl")
local posix_signal = require("posix.signal")
local socket = require("socket")
local stdlib = require("posix.stdlib")
local unistd = require("posix.unistd")
local wait = require("posix.sys.wait")

ffi.cdef([[
typedef struct { char opaque[128]; } spec_file_actions; // glibc's are 80 bytes
int posix_spawn_file_actions_init(spec_file_actions *actions);
int posix_spawn_file_actions_destroy(spec_file_actions *actions);
int posix_spawn_file_actions_addopen(spec_file_actions *actions, int fd, const char *path, int flags, unsigned mode);
int posix_spawn_file_actions_addclose(spec_file_actions *actions, int fd);
int posix_spawn_file_actions_addclosefrom_np(spec_file_actions *actions, int from);
int posix_spawn_file_actions_addchdir_np(spec_file_actions *actions, const char *path);
int posix_spawnp(int *pid, const char *file, const spec_file_actions *actions, const void *attributes,
    const char *const words[], const char *const environment[]);
]])

local M = {}

local DEADLINE = 30
local LEAST_PAUSE, MOST_PAUSE = 0.005, 0.1 -- seconds between two looks at what is waited for

---@class spec.Process
---@field pid integer
---@field out_path string where its standard output goes
---@field err_path string
local Process = {}
Process.__index = Process

local children, directories = {}, {}

---Calls `probe` until it returns something true, which is the result; fails after `seconds` (30). One that takes its
---time, as each that runs a program, is called less often: the machine has to get on with what is waited for.
---@param what string what is waited for, for the message
---@param probe fun(): any
---@param seconds? number
function M.wait_for(what, probe, seconds)
    local now = socket.gettime()
    local give_up = now + (seconds or DEADLINE)
    while true do
        local asked = now
        local result = probe()
        if result then
            return result
        end
        now = socket.gettime()
        if now > give_up then
            error(("waited %g s in vain for %s"):format(seconds or DEADLINE, what), 2)
        end
        socket.sleep(math.max(LEAST_PAUSE, math.min(2 * (now - asked), MOST_PAUSE)))
        now = socket.gettime()
    end
end

---The bytes of a file, or nil.
---@param path string
---@return string?
function M.read(path)
    local file = io.open(path, "rb")
    if not file then
        return nil
    end
    local bytes = file:read("*a")
    file:close()
    return bytes
end

---Replaces a file the way editors do: a new one under another name, renamed over the old one.
---@param path string its directories are made
---@param bytes string
function M.write(path, bytes)
    M.make_directory(path:match("^(.*)/"))
    local temporary = path:gsub("[^/]*$", ".%0.new")
    local file = assert(io.open(temporary, "wb"))
    file:write(bytes)
    file:close()
    assert(os.rename(temporary, path))
end

---@param path string
function M.make_directory(path)
    if not unistd.access(path) then
        M.make_directory(path:match("^(.*)/"))
        assert(require("posix.sys.stat").mkdir(path))
    end
end

---A new empty directory.
---@return string absolute
function M.directory()
    local path = assert(stdlib.mkdtemp((os.getenv("TMPDIR") or "/tmp") .. "/moonloop-spec-XXXXXX"))
    directories[#directories + 1] = path
    return path
end

-- Texts as C wants several, NULL behind the last; they have to outlive it.
local function pointers(texts)
    local array = ffi.new("const char *[?]", #texts + 1)
    for i, text in ipairs(texts) do
        array[i - 1] = text
    end
    return array
end

-- This program's environment, changed.
local function environment(changes)
    local all = stdlib.getenv()
    for name, value in pairs(changes or {}) do
        all[name] = value or nil
    end
    local texts = {}
    for name, value in pairs(all) do
        texts[#texts + 1] = name .. "=" .. value
    end
    return texts
end

-- By posix_spawn(3), which does not copy the page tables of a process that has grown large, as fork(2) does: some
-- milliseconds, and many with a sanitizer. setpriv(1), so that a run of specs that is killed takes along what it has
-- started.
local function start(words, options)
    local actions, pid = ffi.new("spec_file_actions"), ffi.new("int[1]")
    local C, out = ffi.C, fcntl.O_WRONLY + fcntl.O_CREAT + fcntl.O_APPEND
    C.posix_spawn_file_actions_init(actions)
    C.posix_spawn_file_actions_addopen(actions, 0, "/dev/null", fcntl.O_RDONLY, 0)
    C.posix_spawn_file_actions_addopen(actions, 1, options.out, out, 384)
    C.posix_spawn_file_actions_addopen(actions, 2, options.err, out, 384)
    if options.keep_fd then
        for fd = 3, 255 do
            if fd ~= options.keep_fd then
                C.posix_spawn_file_actions_addclose(actions, fd)
            end
        end
    else
        C.posix_spawn_file_actions_addclosefrom_np(actions, 3)
    end
    if options.cwd then
        C.posix_spawn_file_actions_addchdir_np(actions, options.cwd)
    end
    local all = { "setpriv", "--pdeathsig", "KILL", "--", unpack(words) }
    local variables = environment(options.env)
    local failure = C.posix_spawnp(pid, all[1], actions, nil, pointers(all), pointers(variables))
    C.posix_spawn_file_actions_destroy(actions)
    assert(failure == 0 and #all + #variables > 0, "posix_spawnp failed")
    return pid[0]
end

---Starts a process. Its output goes to files.
---@param words string[] the program and its arguments
---@param options? { cwd?: string, env?: table<string, string|false>, keep_fd?: integer }
---@return spec.Process
function M.spawn(words, options)
    options = options or {}
    local dir = M.directory()
    local self = setmetatable({ out_path = dir .. "/out", err_path = dir .. "/err" }, Process)
    self.pid = start(words, {
        out = self.out_path, err = self.err_path, env = options.env, cwd = options.cwd, keep_fd = options.keep_fd,
    })
    children[#children + 1] = self
    return self
end

---What it has printed so far.
function Process:out()
    return M.read(self.out_path) or ""
end

---What it has complained of so far.
function Process:err()
    return M.read(self.err_path) or ""
end

---@return boolean
function Process:is_alive()
    if not self.how then
        local pid, how, code = wait.wait(self.pid, wait.WNOHANG)
        if pid == self.pid and how ~= "running" then
            self.how, self.code = how, code
        end
    end
    return self.how == nil
end

---Waits for its end.
---@param seconds? number
---@return string how "exited" or "killed"
---@return integer code exit code or number of the signal
function Process:wait(seconds)
    M.wait_for("the end of process " .. self.pid, function()
        return not self:is_alive()
    end, seconds)
    return self.how, self.code
end

---@param signal string "TERM", "KILL", ...
function Process:kill(signal)
    if self:is_alive() then
        M.kill(self.pid, signal)
    end
end

---@param pid integer
---@param signal string
function M.kill(pid, signal)
    assert(posix_signal.kill(pid, posix_signal["SIG" .. signal]))
end

---Whether there is a process with this id, of anybody. A zombie counts as gone.
---@param pid integer
---@return boolean
function M.exists(pid)
    local state = (M.read("/proc/" .. pid .. "/stat") or ""):match("^%d+ %b() (%a)")
    return state ~= nil and state ~= "Z"
end

---@param pid integer
---@return integer kilobytes that it has in memory
function M.resident_kb(pid)
    return tonumber(M.read("/proc/" .. pid .. "/status"):match("VmRSS:%s*(%d+)"))
end

---Runs to the end.
---@param words string[]
---@param options? table as of spawn
---@return { code: integer, out: string, err: string }
function M.run(words, options)
    local child = M.spawn(words, options)
    local _, code = child:wait(60)
    return { code = code, out = child:out(), err = child:err() }
end

local function remove(path)
    local stat = require("posix.sys.stat")
    local info = stat.lstat(path)
    if info and stat.S_ISDIR(info.st_mode) ~= 0 then
        for name in require("posix.dirent").files(path) do
            if name ~= "." and name ~= ".." then
                remove(path .. "/" .. name)
            end
        end
        unistd.rmdir(path)
    else
        unistd.unlink(path)
    end
end
M.remove = remove

---Kills what still runs and removes all directories.
function M.clean()
    for _, child in ipairs(children) do
        child:kill("KILL")
        child:wait()
    end
    for _, path in ipairs(directories) do
        remove(path)
    end
    children, directories = {}, {}
end

return M
