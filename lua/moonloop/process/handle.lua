--- A process that runs: its streams, its end. Made by moonloop.process.spawn.

local core = require("moonloop.core.process")
local errors = require("moonloop.util.errors")
local handles = require("moonloop.util.handle")

local settle = errors.settle

local M = {}

local DEFAULT_LINE, DEFAULT_ALL = 1024 * 1024, 64 * 1024 * 1024

---@return moonloop.process.Result
function M.result(status, signal, seconds, has_timed_out)
    return { status = status, signal = signal, ok = status == 0, duration = seconds, timed_out = has_timed_out }
end

local function how_it_ended(result)
    if result.status then
        return "exited with " .. result.status
    end
    return result.signal and "was ended by " .. result.signal or "ended, and somebody else has taken its status"
end

---In one pass: a pattern that may begin anywhere would look at a long line once for each of its bytes.
local function last_line(text)
    local rest = text and text:match("^.*%S")
    local line = rest and (rest:match("^.*\n(.*)$") or rest)
    return line and ": " .. line:sub(1, 200) or ""
end

---Raises for a result that is none.
---@param result moonloop.process.Result
---@param asked moonloop.process.Request
---@param excess? "stdout"|"stderr" which exceeded the limit
function M.judge(result, asked, excess)
    local name, code, message = asked.argv[1], nil, nil
    if excess then
        code = "too_large"
        message = ("%s wrote more than max_output (%d bytes) to %s"):format(name, asked.max_capture, excess)
    elseif result.timed_out then
        code, message = "timeout", ("%s took more than %g s"):format(name, asked.timeout)
    elseif not result.status and not result.signal then
        code, message = "system", ("%s %s"):format(name, how_it_ended(result))
    elseif asked.check and not result.ok then
        code, message = "failed", ("%s %s%s"):format(name, how_it_ended(result), last_line(result.stderr))
    end
    if code then
        error(errors.new(code, "process: " .. message, result), 0)
    end
end

---@class moonloop.process.Stream
---@field private process userdata
---@field private number 1|2
local Stream = { __name = "moonloop.process.Stream" }
Stream.__index = Stream

---Reads and waits: whatever is there (nothing given), so many bytes (fewer at the end only), a "line" without its
---end, or "all" of the rest. Nil at the end, "" for "all". One task reads a stream at a time. Raises `too_large` for
---a line or a rest beyond the limit, which stays to be read otherwise; `closed` once the scope has ended.
---@param how? integer|"line"|"all"
---@param limit? integer bytes: of a line, 1 MiB; of all, 64 MiB
---@return string?
function Stream:read(how, limit)
    if limit ~= nil and not (type(limit) == "number" and limit >= 1 and limit <= 2 ^ 40) then
        error("read: limit: expected bytes, 1 or more", 2)
    end
    if how == nil then
        return settle(core.read(self.process, self.number, "chunk"))
    elseif type(how) == "number" and how >= 0 and how <= 2 ^ 31 and how % 1 == 0 then
        return settle(core.read(self.process, self.number, "bytes", how))
    elseif how == "all" then
        return settle(core.read(self.process, self.number, "all", limit or DEFAULT_ALL))
    elseif how ~= "line" then
        error("read: expected nothing, a number of bytes, \"line\" or \"all\", got " .. tostring(how), 2)
    end
    local line = settle(core.read(self.process, self.number, "line", limit or DEFAULT_LINE))
    return line and (line:gsub("\n$", "", 1))
end

---@param limit? integer bytes of a line; 1 MiB
---@return fun(): string? each line, without its end
function Stream:lines(limit)
    return function()
        return self:read("line", limit)
    end
end

---@return fun(): string? what comes, as it comes
function Stream:chunks()
    return function()
        return self:read()
    end
end

---@class moonloop.Process
---@field pid integer of the leader, and of its group
---@field stdout? moonloop.process.Stream when it is captured
---@field stderr? moonloop.process.Stream when it is captured. Until it is first read, the last 64 KiB are kept
---@field status? integer exit code, once it has exited
---@field signal? string the name of the signal that ended it
---@field running boolean
---@field private process userdata
---@field private asked moonloop.process.Request
local Process = { __name = "moonloop.Process" }

local COMPUTED = {}

function COMPUTED.status(self)
    local _, status = core.state(self.process)
    return status
end

function COMPUTED.signal(self)
    local _, _, signal = core.state(self.process)
    return signal
end

function COMPUTED.running(self)
    return core.state(self.process) == "running"
end

function Process.__index(self, key)
    local compute = COMPUTED[key]
    if compute then
        return compute(self)
    end
    return Process[key]
end

---Writes to its standard input; waits while the pipe is full. Raises `closed` when nobody reads it any more, or it
---was closed. A write that was cancelled half way closes it.
---@param data string
function Process:write(data)
    if type(data) ~= "string" then
        error("write: expected a string, got a " .. type(data), 2)
    end
    settle(core.write(self.process, data))
end

---Ends its standard input. Harmless twice.
function Process:close_stdin()
    core.close_input(self.process)
end

---The same as `stdout:read`.
---@param how? integer|"line"|"all"
---@param limit? integer
---@return string?
function Process:read(how, limit)
    if not self.stdout then
        error("read: stdout is not captured", 2)
    end
    return self.stdout:read(how, limit)
end

---Sends a signal to its whole process group.
---@param signal? string|integer "TERM"
---@return boolean sent false when it has ended
function Process:kill(signal)
    local number = core.signal(signal == nil and "TERM" or signal)
    if not number then
        error("kill: there is no signal " .. tostring(signal), 2)
    end
    return core.kill(self.process, number)
end

---Waits for its end, whatever is still unread. Raises `timeout` when it took more than `timeout`, and `failed` with
---`check`. May be called again, by any task.
---@return moonloop.process.Result without stdout and stderr
function Process:wait()
    local result = M.result(settle(core.wait(self.process, false)))
    M.judge(result, self.asked)
    return result
end

---@param process userdata
---@param asked moonloop.process.Request
---@return moonloop.Process
function M.new(process, asked)
    local function stream(place, number)
        return place == "pipe" and setmetatable({ process = process, number = number }, Stream) or nil
    end
    return setmetatable({
        process = process, asked = asked, pid = core.pid(process), stdout = stream(asked.stdout, 1),
        stderr = stream(asked.stderr, 2),
    }, Process)
end

handles.finish(Stream, "stream", function(self)
    return (self.number == 1 and "stdout of " or "stderr of ") .. ("process %d"):format(core.pid(self.process))
end)
handles.finish(Process, "process", function(self)
    return handles.text(("process %d"):format(self.pid), self.running and "running" or self.signal or
        ("status %d"):format(self.status))
end)

return M
