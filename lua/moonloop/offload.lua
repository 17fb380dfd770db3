--- moonloop.offload: runs a function on another OS thread, in a VM and a loop of its own. Arguments, upvalues
--- and results are copied; see transfer.lua for what can be sent.

local core = require("moonloop.core.offload")
local environment = require("moonloop.environment")
local errors = require("moonloop.util.errors")
local transfer = require("moonloop.transfer")

local M = {}

local is_thread = core.is_thread()

-- What comes back from a thread brings its bytecode along; nothing is fetched by number.
local unpacker = require("moonloop.unpacker").new(function()
    error("a thread sent a function without its bytecode", 0)
end, function(app)
    return environment.find(app) or _G
end)

-- Scripts and specs change package.path; threads follow. Apps have require of their own.
local sent_path = nil
local function send_path()
    local path = package.path .. "\0" .. package.cpath
    if path ~= sent_path then
        sent_path = path
        transfer.set_head(core.put(path) or 0)
    end
end

---Adds to the thread's traceback where the job was sent from.
local function at_caller(err)
    if not errors.is(err) then
        return err
    end
    local lines = {}
    for line in debug.traceback("", 2):gmatch("\n(%s[^\n]+)") do
        if not line:find("moonloop/offload.lua:", 1, true) then
            lines[#lines + 1] = line
        end
    end
    err.traceback = ("%s\noffloaded at:\n%s"):format(err.traceback or "", table.concat(lines, "\n"))
    err.is_traced = true
    return err
end

local function settle(ok, is_ok, message)
    if not ok then
        error(is_ok, 0)
    elseif message == "" then
        errors.raise("system", "an offload thread could not be set up; see the log")
    end
    if is_ok then
        return select(2, unpacker:unpack(message))
    end
    local _, err = unpacker:unpack(message)
    error(at_caller(err), 0)
end

---Runs `fn(...)` on an offload thread and waits for it; everyone else is served meanwhile. Arguments, upvalues
---and results are copied. What `fn` raises is raised here, as an error object with the thread's traceback.
---Raises `full` when too many jobs wait already, `cancelled` or `timeout` when the caller's scope ends first: a
---job that has not begun is taken back, one that runs is cancelled at its next wait and its result dropped.
---On an offload thread it runs `fn` where it is.
---@param fn function
---@param ... any no coroutines, userdata or C functions that are in no module
---@return any ... what `fn` returned
function M.offload(fn, ...)
    if type(fn) ~= "function" then
        error("offload: expected a function, got a " .. type(fn), 2)
    end
    if is_thread then
        return fn(...)
    end
    send_path()
    local message, reason = transfer.pack(core.put, "argument", fn, select("#", ...), ...)
    if not message then
        error("offload: " .. reason, 2)
    end
    return settle(core.submit(message, transfer.label(fn, core.put)))
end

---Runs a handler of an app on an offload thread, in a VM that loaded the app itself. See thread_route.lua.
---@param spec table which handler
---@param copy table the request
---@return table reply
function M.run_route(spec, copy)
    local message = transfer.pack(core.put, "argument", "route", 2, spec, copy)
    return settle(core.submit(assert(message), spec.label))
end

---How the pool of this process is doing: size, threads, busy, waiting, lost, jobs.
---@return table<string, integer>
M.stats = core.stats

return M
