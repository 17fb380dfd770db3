--- Pools of threads or processes of one's own, lists sent through them, and jobs that report while they run.
---
--- A pool belongs to its worker process. One with a name is the same for all apps that ask for that name with
--- the same options, and goes on across a reload as long as the new code asks for it; one without a name ends
--- with its variable.

local concurrency = require("moonloop.concurrency")
local core = require("moonloop.core.offload")
local errors = require("moonloop.util.errors")
local handle = require("moonloop.util.handle")
local offload = require("moonloop.offload")
local option_table = require("moonloop.options")
local task = require("moonloop.task")
local transfer = require("moonloop.transfer")

local M = {}

local place, in_process = core.place()

local KINDS = { thread = true, process = true }
local OPTIONS = { kind = "string", name = "string", progress = "number", queue = "number", size = "number" }
local RANGES = { size = { 1, 1024 }, queue = { 0, 1000000 }, progress = { 1, 100000 } }
local DEFAULT_PROGRESS = 64

---@class moonloop.Pool
---@field name? string
---@field kind "thread"|"process"
---@field size? integer nil: the pool of moonloop.offload
---@field queue? integer
---@field private handle userdata
---@field private progress integer values of a job that wait to be read
local Pool = { __name = "moonloop.Pool" }
Pool.__index = Pool

---On the other side it is a pool of that side: see is_in_place.
function Pool:__transfer()
    if not self.size then
        return "moonloop.pool", "pool"
    end
    return "moonloop.pool", "pool", {
        name = self.name, kind = self.kind, size = self.size, queue = self.queue, progress = self.progress,
    }
end

---@class moonloop.Job
---@field private box userdata
---@field private task moonloop.Task
local Job = { __name = "moonloop.Job", __transfer = false }

local function check_function(what, fn)
    if type(fn) ~= "function" then
        error(("%s: expected a function, got a %s"):format(what, type(fn)), 3)
    end
end

---Threads of threads, and processes of processes, would be more than anybody asked for: there, jobs run where they
---are. A process has threads of its own, though.
local function is_in_place(pool)
    if pool.kind == "process" then
        return in_process
    end
    return place == "thread"
end

---Runs `fn(...)` in the pool and waits for it, as moonloop.offload does. Raises `full` when as many jobs wait as
---may, `closed` after pool:close(), `crashed` when the process it ran in died.
---@param fn function
---@param ... any
---@return any ... what `fn` returned
function Pool:run(fn, ...)
    check_function("pool:run", fn)
    if is_in_place(self) then
        return fn(...)
    end
    return offload.call(self.handle, nil, "pool:run", fn, ...)
end

---Runs `fn(item, index)` in the pool for each entry of a list, `limit` at a time, and waits for all. Results and
---failures are those of moonloop.map.
---@param list any[]
---@param fn function
---@param options? { limit?: integer, deadline?: number, settle?: boolean } limit: as many as the pool has threads
---@return any[] results
function Pool:map(list, fn, options)
    check_function("pool:map", fn)
    local limited = { limit = core.stats(self.handle).size }
    for name, value in pairs(options or {}) do
        limited[name] = value
    end
    return concurrency.map(list, function(item, index)
        return self:run(fn, item, index)
    end, limited)
end

---How it is doing: kind, size, queue, threads, busy, waiting, lost, jobs, failed, crashed; and in seconds
---wait_total, wait_mean, wait_max (until a job began), run_total, run_mean, run_max.
---@return table<string, integer|number|string>
function Pool:stats()
    return core.stats(self.handle)
end

local named = {} -- those of this VM

---Takes no more jobs: later ones raise `closed`. Those that were sent are finished; then its threads end, unless
---somebody else uses a pool of that name.
function Pool:close()
    if self.name then
        named[self.name] = nil
    end
    offload.close(self.handle)
end

-- ---- jobs that report ----

local sinks = setmetatable({}, { __mode = "k" }) -- by coroutine: jobs that run where they are

local function finish(job, ok, ...)
    core.finish(job.box)
    sinks[coroutine.running()] = nil -- coroutines of tasks are used again
    if ok then
        return ...
    end
    error((...), 0)
end

local function run_in_place(job, fn, ...)
    sinks[coroutine.running()] = job.box
    return fn(...)
end

local function run_started(job, pool, fn, ...)
    job.has_begun = true
    if is_in_place(pool) then
        return finish(job, pcall(run_in_place, job, fn, ...))
    end
    return finish(job, pcall(offload.call, pool.handle, job.box, "pool:start", fn, ...))
end

---Begins `fn(...)` in the pool, as a task of the innermost scope, and returns at once. What the function gives to
---moonloop.progress can be read while it runs.
---@param fn function
---@param ... any
---@return moonloop.Job
function Pool:start(fn, ...)
    check_function("pool:start", fn)
    local job = setmetatable({ box = core.job(self.progress), has_begun = false }, Job)
    job.task = task.spawn(run_started, job, self, fn, ...)
    return job
end

---Waits for its end. Raises what the function raised; see moonloop.Task.
---@return any ... what the function returned
function Job:wait()
    return self.task:wait()
end

---Ends the wait for it with `cancelled`; the job itself ends at its next wait. Harmless when it has ended.
---@param reason? string
function Job:cancel(reason)
    self.task:cancel(reason or "the job was cancelled")
end

local function next_values(job)
    while not job.has_begun and not job.task.state do
        task.sleep(0)
    end
    if not job.has_begun then
        return nil -- cancelled before it began
    end
    local message, parts = errors.settle(core.next(job.box))
    if message then
        return offload.unpack_ahead(message, parts)
    end
end

---Iterates over what the job sends with moonloop.progress, in order, until it has ended; waits for each. How it
---ended, Job:wait() says. One task at a time can read.
---@return fun(): any ...
function Job:progress()
    return function()
        return next_values(self)
    end
end

function Job.__index(self, key)
    if key == "status" then
        return self.task.status
    elseif key == "dropped" then
        return core.dropped(self.box)
    end
    return Job[key]
end

handle.finish(Job, "job", function(self)
    return handle.text("job", self.status)
end)

local function pack_values(count, ...)
    local message, parts = transfer.pack(nil, "value", true, count, ...)
    if not message then
        error("progress: " .. parts, 3)
    end
    return message, parts
end

---In a job that was begun with pool:start: sends values to whoever reads job:progress(). Never waits: when as
---many are unread as the pool's `progress` says, the oldest is dropped. Elsewhere it does nothing.
---@param ... any the first is not nil
---@return boolean is_heard whether anybody could read it
function M.progress(...)
    if (...) == nil then
        error("progress: expected a value, got nil", 2)
    end
    local sink = sinks[coroutine.running()]
    if sink then
        core.keep(sink, pack_values(select("#", ...), ...))
        return true
    end
    local thread = place ~= "loop" and require("moonloop.core.thread")
    if not thread or not thread.is_heard() then
        return false
    end
    thread.post(pack_values(select("#", ...), ...))
    return true
end

-- ---- making them ----

local function check(options)
    if type(options) ~= "table" then
        error("pool: expected a table of options, got a " .. type(options), 3)
    end
    option_table.check("pool", options, OPTIONS, 3)
    if options.kind ~= nil and not KINDS[options.kind] then
        error(("pool: kind: expected \"thread\" or \"process\", got %q"):format(options.kind), 3)
    elseif options.name ~= nil and (#options.name < 1 or #options.name > 64) then
        error("pool: name: expected a string of 1 to 64 bytes", 3)
    end
    for name, range in pairs(RANGES) do
        local value = options[name]
        if value ~= nil and not (value >= range[1] and value <= range[2] and value % 1 == 0) then
            error(("pool: %s: expected an integer from %d to %d, got %s"):format(name, range[1], range[2],
                tostring(value)), 3)
        end
    end
end

---Two parts of the code that ask for one pool must mean the same.
local function check_same(pool, options)
    for _, name in ipairs({ "kind", "size", "queue", "progress" }) do
        if options[name] ~= nil and options[name] ~= pool[name] then
            error(("pool %q has %s = %s already, not %s"):format(pool.name, name, tostring(pool[name]),
                tostring(options[name])), 3)
        end
    end
end

handle.finish(Pool, "pool", function(self)
    return handle.text(self.name and "pool " .. self.name or "pool",
        self.size and ("%d %s"):format(self.size, self.kind == "process" and "processes" or "threads"))
end)

local default

---A pool. Without options that of moonloop.offload; with a name the one that has it, made if there is none; else
---a new one. Raises an error when a pool of that name was made with other options.
---@param options? { kind?: "thread"|"process", size?: integer, queue?: integer, name?: string, progress?: integer }
---kind: "thread"; size: as many as `threads`, 1 to 1024; queue: 1000, 0 to 1000000 jobs may wait beyond those that
---run; progress: 64, 1 to 100000 unread values of each job
---@return moonloop.Pool
function M.pool(options)
    if options == nil then
        default = default or setmetatable({ kind = "thread", progress = DEFAULT_PROGRESS }, Pool)
        default.handle = offload.default()
        return default
    end
    check(options)
    local name = options.name
    if name and named[name] then
        check_same(named[name], options)
        return named[name]
    end
    local pool = setmetatable({ name = name, kind = options.kind or "thread",
        progress = options.progress or DEFAULT_PROGRESS }, Pool)
    pool.handle = offload.open(name or "", pool.kind, options.size, options.queue)
    local stats = core.stats(pool.handle)
    pool.size, pool.queue = stats.size, stats.queue
    if name then
        named[name] = pool
    end
    return pool
end

---pool:map in the pool of moonloop.offload.
---@param list any[]
---@param fn function
---@param options? { limit?: integer, deadline?: number, settle?: boolean }
---@return any[] results
function M.offload_map(list, fn, options)
    check_function("offload_map", fn)
    return M.pool():map(list, fn, options)
end

return M
