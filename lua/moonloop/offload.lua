--- moonloop.offload: runs a function on another OS thread, in a VM and a loop of its own. Arguments, upvalues
--- and results are copied; see transfer.lua for what can be sent. Pools of one's own are in pool.lua.

local activity = require("moonloop.activity")
local core = require("moonloop.core.offload")
local environment = require("moonloop.environment")
local errors = require("moonloop.util.errors")
local transfer = require("moonloop.transfer")

local M = {}

local DEFAULT_QUEUE = 1000

local is_thread = core.place() == "thread"

-- What comes back brings its bytecode along; nothing is fetched by number.
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

---Adds to the traceback of the other side where the job was sent from.
local function at_caller(err, label)
    if not errors.is(err) then
        return err
    end
    local lines = {}
    for line in debug.traceback("", 2):gmatch("\n(%s[^\n]+)") do
        if not line:find("moonloop/offload.lua:", 1, true) and not line:find("moonloop/pool.lua:", 1, true) then
            lines[#lines + 1] = line
        end
    end
    lines[1] = lines[1] or "\t" .. label -- `return offload(fn)`: the caller's frame is gone
    err.traceback = ("%s\noffloaded at:\n%s"):format(err.traceback or "", table.concat(lines, "\n"))
    err.is_traced = true
    return err
end

---What core.submit gave.
local function settle(label, ok, is_ok, message, parts, is_told)
    if not ok then
        error(is_ok, 0)
    elseif is_told then
        error(at_caller(errors.new(message, parts), label), 0)
    elseif is_ok then
        return select(2, unpacker:unpack(message, parts))
    end
    local _, err = unpacker:unpack(message, parts)
    error(at_caller(err, label), 0)
end

-- For `moonloop ps`: pools that are open, and what they are called. Weak values go before they are finalized.
local opened, names = setmetatable({}, { __mode = "v" }), setmetatable({}, { __mode = "k" })
local nopened = 0

---A pool for jobs; see lib_offload.c. `name` nil: that of moonloop.offload.
---@param name? string
---@param kind "thread"|"process"
---@param size? integer
---@param queue? integer
---@return userdata
function M.open(name, kind, size, queue)
    local pool = core.open(name, kind, size or 0, queue or DEFAULT_QUEUE)
    nopened = nopened + 1
    opened[nopened], names[pool] = pool, name == nil and "default" or name == "" and "unnamed" or name
    return pool
end

---@param pool userdata
function M.close(pool)
    names[pool] = nil
    core.close(pool)
end

local function row_of(pool, name)
    local stats = core.stats(pool)
    return {
        kind = "pool", name = name, state = stats.busy > 0 and "running" or "waiting", runs = stats.jobs,
        detail = ("kind %s, %d of %d busy, %d of %d waiting, %d failed"):format(stats.kind, stats.busy, stats.size,
            stats.waiting, stats.queue, stats.failed),
    }
end

activity.register("pool", function()
    local rows = {}
    for _, pool in pairs(opened) do
        rows[#rows + 1] = names[pool] and row_of(pool, names[pool])
    end
    return rows
end)

local default
---The pool of moonloop.offload, made with its first use.
---@return userdata
function M.default()
    default = default or M.open(nil, "thread")
    return default
end

local processes
---The pool of routes with run = "process".
---@return userdata
function M.processes()
    processes = processes or M.open(nil, "process")
    return processes
end

---Sends `fn(...)` to a pool and waits for what it gives.
---@param pool userdata
---@param job? userdata core.job's, which gets what is sent ahead
---@param what string what the caller called, for messages
---@param fn function
---@return any ...
function M.call(pool, job, what, fn, ...)
    send_path()
    local message, parts = transfer.pack(core.put, "argument", fn, select("#", ...), ...)
    if not message then
        error(what .. ": " .. parts, 2) -- called as a tail call: the level above is the user's
    end
    local label = transfer.label(fn, core.put)
    return settle(label, core.submit(pool, job, label, message, parts))
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
    return M.call(M.default(), nil, "offload", fn, ...)
end

---Runs a handler of an app in a pool, in a VM that loaded the app itself. See thread_route.lua.
---@param spec table which handler
---@param copy table the request
---@param pool userdata
---@return table reply
function M.run_route(spec, copy, pool)
    local message, parts = transfer.pack(core.put, "argument", "route", 2, spec, copy)
    return settle(spec.label, core.submit(pool, nil, spec.label, assert(message), parts))
end

---A message of a job that was sent ahead, as values.
---@param message string
---@param parts? string[]
---@return any ...
function M.unpack_ahead(message, parts)
    return select(2, unpacker:unpack(message, parts))
end

---How the pool of moonloop.offload is doing; see pool:stats().
---@return table<string, integer>
function M.stats()
    return core.stats(M.default())
end

return M
