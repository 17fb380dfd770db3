--- Tasks and scopes: structured concurrency over moonloop.core.task.
---
--- A child never outlives the scope it was spawned in. Leaving a scope waits for its children; the first
--- failure in one that fails fast cancels the siblings and is what the parent sees.

local core = require("moonloop.core.task")
local errors = require("moonloop.util.errors")

local M = {}

local function settle(ok, ...)
    if ok then
        return ...
    end
    error((...), 0)
end

---Lets everyone else run for so long. Raises `cancelled` or `timeout` when the scope ends first.
---@param seconds number 0 to 31622400; 0 lets others run once
function M.sleep(seconds)
    settle(core.sleep(seconds))
end

---Monotonic seconds, for measuring; unrelated to the time of day.
---@return number
M.now = core.now

---@class moonloop.Task
---@field name? string
---@field state? "done"|"failed"|"cancelled" nil while it runs
---@field status string "ready", "running", "waiting", "done", "failed" or "cancelled"
local Task = { __name = "moonloop.Task" }

---Waits for its end. Raises what it raised.
---@return any ... what it returned
function Task:wait()
    if not self.state then
        settle(core.wait(self))
    end
    if self.state == "done" then
        return unpack(self, 1, self.n)
    end
    error(self.err, 0)
end

---Asks it to end: its wait, and every later one, raises `cancelled`. Returns at once; harmless when it
---has ended.
---@param reason? string
function Task:cancel(reason)
    core.cancel(self, errors.new("cancelled", reason or "the task was cancelled"))
end

function Task.__index(self, key)
    if key == "status" then
        return rawget(self, "state") or core.status(self)
    end
    return Task[key]
end

---Runs `fn(...)` as a task of the innermost scope, beginning when the running task next waits.
---@param fn function
---@param ... any
---@return moonloop.Task
function M.spawn(fn, ...)
    if type(fn) ~= "function" then
        error("spawn: expected a function, got " .. type(fn), 2)
    end
    local task = setmetatable({}, Task)
    core.spawn(task, fn, ...)
    return task
end

---@class moonloop.Scope
local Scope = { __name = "moonloop.Scope" }
Scope.__index = Scope

---Runs `fn(...)` as a task of this scope.
---@return moonloop.Task
function Scope.spawn(_, fn, ...)
    return M.spawn(fn, ...)
end

---Cancels every task of the scope, its body included.
---@param reason? string
function Scope:cancel(reason)
    if self[1] then
        core.scope_cancel(self[1], errors.new("cancelled", reason or "the scope was cancelled"))
    end
end

local function pack(...)
    return { n = select("#", ...), ... }
end

---Enters, runs, waits for the children, leaves; the error that matters is raised.
local function run_scope(deadline, fails_fast, is_shield, fn, ...)
    local handle = core.scope_enter(deadline, fails_fast, is_shield)
    local scope = setmetatable({ handle }, Scope)
    local results = pack(pcall(fn, scope, ...))
    if not results[1] then
        core.scope_cancel(handle, results[2])
    end
    settle(core.scope_join(handle))
    scope[1] = nil
    local _, reason, failure = core.scope_leave(handle)
    if failure ~= nil then
        error(failure, 0)
    elseif not results[1] then
        error(results[2], 0)
    elseif errors.is(reason, "timeout") then
        error(reason, 0)
    end
    return results
end

---Runs `fn(scope)` and waits for every task spawned in it.
---@param options? { deadline?: number } seconds for the whole scope
---@param fn fun(scope: moonloop.Scope): any
---@return any ... what `fn` returned
function M.scope(options, fn)
    if type(options) == "function" then
        options, fn = {}, options
    end
    local results = run_scope(options.deadline, true, false, fn)
    return unpack(results, 2, results.n)
end

---Runs `fn(...)` with a deadline for all that it waits for. Raises `timeout`. Nested ones only shorten.
---@param seconds number
---@param fn function
---@return any ... what `fn` returned
function M.timeout(seconds, fn, ...)
    local results = run_scope(seconds, true, false, function(_, ...)
        return fn(...)
    end, ...)
    return unpack(results, 2, results.n)
end

---Runs `fn(...)` so that cancellation and deadlines from outside do not interrupt it: for clean-up.
---@param fn function
---@return any ... what `fn` returned
function M.shield(fn, ...)
    local results = run_scope(nil, true, true, function(_, ...)
        return fn(...)
    end, ...)
    return unpack(results, 2, results.n)
end

return M
