--- Tasks and scopes: structured concurrency over moonloop.core.task.
---
--- A child never outlives the scope it was spawned in. Leaving a scope waits for its children; the first
--- failure in one that fails fast cancels the siblings and is what the parent sees.

local clock = require("moonloop.clock")
local core = require("moonloop.core.task")
local errors = require("moonloop.util.errors")
local handles = require("moonloop.util.handle")

local settle = errors.settle

---What a task or scope is cancelled with, from where a user's code says so.
local function cancellation(message, cause)
    return errors.new("cancelled", message, { cause = cause, cancelled_at = core.site() })
end

local M = {}

---Lets everyone else run for so long. Raises `cancelled` or `timeout` when the scope ends first.
---@param seconds number 0 to 31622400; 0 lets others run once
function M.sleep(seconds)
    settle(core.sleep(seconds))
end

---Monotonic seconds, for measuring; unrelated to the time of day.
---@return number
M.now = clock.now

---@param reason string|moonloop.Error|nil what the user gave
local function cancellation_for(what, reason, default)
    if errors.is(reason) then
        return cancellation(errors.message(reason), reason)
    elseif reason ~= nil and type(reason) ~= "string" then
        error(("%s: expected a text or an error object as the reason, got a %s"):format(what, type(reason)), 3)
    end
    return cancellation(reason or default)
end

---@class moonloop.Task
---@field name? string what it was spawned as
---@field state? "done"|"failed"|"cancelled" nil while it runs
---@field err? any why it failed or was cancelled, once it has
---@field status string "ready", "running", "waiting", "done", "failed" or "cancelled"
local Task = { __name = "moonloop.Task", __transfer = false }

---Waits for its end. Raises what it raised; `cancelled` when it was cancelled, or when the waiting scope is;
---`deadlock`, with the ring, when the wait could never end.
---@return any ... what it returned
function Task:wait()
    if rawget(self, 0) then
        local ok, err = core.wait(self)
        if not ok then
            error(err, 0)
        end
    end
    if rawget(self, "state") then
        self.is_seen = true
        error(self.err, 0)
    end
    return unpack(self, 1, self.n)
end

---Asks it to end: its wait, and every later one, raises `cancelled`. Returns at once; harmless when it
---has ended.
---@param reason? string|moonloop.Error an error becomes the `cause`
function Task:cancel(reason)
    core.cancel(self, cancellation_for("cancel", reason, "the task was cancelled"))
end

function Task.__index(self, key)
    if key == "state" then
        return not rawget(self, 0) and "done" or nil
    elseif key == "status" then
        return rawget(self, "state") or (rawget(self, 0) and core.status(self)) or "done"
    end
    return Task[key]
end

handles.finish(Task, "task", function(self)
    return handles.text(self.name and "task " .. self.name or "task", self.status)
end)

---A handle as C fills it: [0] is what is behind it, false when it has ended; then [1..n] are its results, or `state`
---is "failed" or "cancelled" and `err` says why. There is room for one result from the beginning.
local function new_handle()
    return setmetatable({ [0] = false, nil, n = 1 }, Task)
end

local function spawn_named(what, scope, name, fn, ...)
    if type(name) ~= "string" then
        error(what .. ": expected a function, got " .. type(name), 3)
    elseif type(fn) ~= "function" then
        error(what .. ": expected a function after the name, got " .. type(fn), 3)
    end
    local task = new_handle()
    task.name = name
    core.spawn(task, scope, fn, ...)
    return task
end

---Runs `fn(...)` as a task of the innermost scope, beginning when the running task next waits. Its failure is
---raised by `wait`, and logged when nobody waits. Raises `misuse` outside of a task.
---@overload fun(name: string, fn: function, ...: any): moonloop.Task
---@param fn function
---@param ... any at most 200
---@return moonloop.Task
function M.spawn(fn, ...)
    if type(fn) ~= "function" then
        local named = spawn_named("spawn", nil, fn, ...)
        return named
    end
    local task = new_handle()
    core.spawn(task, nil, fn, ...)
    return task
end

---The same, for a task that belongs to nobody: whoever keeps the handle has to see to its end. No part of the face.
---@param fn function
---@param ... any at most 200
---@return moonloop.Task
function M.spawn_detached(fn, ...)
    local task = new_handle()
    core.spawn(task, false, fn, ...)
    return task
end

---@class moonloop.Scope
local Scope = { __name = "moonloop.Scope", __transfer = false }
Scope.__index = Scope

---Runs `fn(...)` as a task of this scope, from any task while the scope is not left. Its failure ends the
---scope. Raises `misuse` when the scope was left.
---@overload fun(self: moonloop.Scope, name: string, fn: function, ...: any): moonloop.Task
---@param fn function
---@param ... any at most 200
---@return moonloop.Task
function Scope:spawn(fn, ...)
    if type(fn) ~= "function" then
        local named = spawn_named("scope:spawn", self[1], fn, ...)
        return named
    end
    local task = new_handle()
    core.spawn(task, self[1], fn, ...)
    return task
end

---Cancels every task of the scope, its body included. Harmless when it was left.
---@param reason? string|moonloop.Error an error becomes the `cause`
function Scope:cancel(reason)
    core.scope_cancel(self[1], cancellation_for("scope:cancel", reason, "the scope was cancelled"))
end

handles.finish(Scope, "scope", function()
    return "scope"
end)

local function pack(...)
    return { n = select("#", ...), ... }
end

---Runs in the frame that raised.
local function on_error(err)
    if errors.is(err) and (err.is_traced or not err.reason) then
        return err -- made where it was raised, but for what cut a wait short
    end
    return errors.wrap(err, (debug.traceback("", 2):gsub("^\n", "")))
end

local function cancel_children(handle, err)
    core.scope_cancel(handle, cancellation("the scope was left by an error: " .. errors.message(err), err))
end

---Whether the body of a scope failed by itself, not because its wait was cut short.
local function is_own_failure(err)
    return err ~= nil and not (errors.is(err) and (err.reason or err.code == "cancelled"))
end

---Failures that come with another one are listed in it.
local function attach(err, others)
    if #others == 0 or not errors.is(err) then
        return
    end
    err.others = err.others or {}
    for _, other in ipairs(others) do
        err.others[#err.others + 1] = other
    end
end

---What a scope that was left raises, with all that failed later attached; nil when all is well.
---@param results table the body's
---@param reason any it was cancelled with
---@param has_failure boolean
---@param failure any the first of a task; without one, a list of those that failed when they were cancelled, or nil
local function what_failed(results, reason, has_failure, failure)
    local raised = nil
    if not results[1] then
        raised = results[2]
    elseif not has_failure and (errors.is(reason, "timeout") or errors.is(reason, "deadlock")) then
        raised = reason
    end
    if has_failure then
        if is_own_failure(raised) and raised ~= failure then
            attach(failure, { raised })
        end
        return failure
    elseif failure then
        raised = raised == nil and table.remove(failure, 1) or raised
        attach(raised, failure)
    end
    return raised
end

---Waits for the children of a scope and leaves it.
---@param handle moonloop.core.Scope
---@param results table what the body gave, packed; [1] is whether it ended well
---@return any err what a caller should raise, nil when nothing failed
---@return boolean is_cancelled
local function leave(handle, results)
    if not results[1] then
        cancel_children(handle, results[2])
    end
    local has_joined, was_alone = core.scope_join(handle)
    if not has_joined then
        core.scope_give_up(handle)
        error(was_alone, 0)
    end
    local is_cancelled, reason, has_failure, failure = core.scope_leave(handle)
    if failure == nil and not is_cancelled and results[1] then
        return nil, false
    elseif was_alone then
        reason = nil -- it ended well, if late: what it received or locked is not lost
    end
    return what_failed(results, reason, has_failure, failure), is_cancelled
end

---Enters, runs `fn(scope, ...)`, waits for the children, leaves.
---@param deadline? number seconds
---@param fails_fast boolean a child that fails ends the scope
---@param is_shield boolean
---@return table results packed; [1] is whether `fn` ended well
---@return any err what a caller should raise, nil when nothing failed
---@return boolean is_cancelled
function M.enclose(deadline, fails_fast, is_shield, fn, ...)
    local handle = core.scope_enter(deadline, fails_fast, is_shield)
    local results = pack(xpcall(fn, on_error, setmetatable({ handle }, Scope), ...))
    return results, leave(handle, results)
end

local NOTHING = { true }

---The same for a function of moonloop's that gives nothing and starts tasks with spawn_seen.
---@param deadline? number seconds
---@param fails_fast boolean
---@param fn fun(handle: moonloop.core.Scope, ...: any)
---@return boolean ok whether `fn` ended well
---@return any err
function M.enclose_tasks(deadline, fails_fast, fn, ...)
    local handle = core.scope_enter(deadline, fails_fast, false, true)
    local ok, err = xpcall(fn, on_error, handle, ...)
    return ok, (leave(handle, ok and NOTHING or { false, err }))
end

local SeenTask = {
    __name = Task.__name,
    __index = function(self, key)
        return key == "is_seen" or Task.__index(self, key)
    end,
}

---A task of such a scope, whose failure somebody looks at. Its handle keeps one result and has fields only once it
---has failed: a table without a part for them costs half as much.
---@param handle moonloop.core.Scope
---@param fn function
---@return moonloop.Task
function M.spawn_seen(handle, fn, ...)
    local task = setmetatable({ [0] = false, nil }, SeenTask)
    core.spawn(task, handle, fn, ...)
    return task
end

local function finish(results, err)
    if err ~= nil then
        error(err, 0)
    end
    return unpack(results, 2, results.n)
end

---Runs `fn(scope)` and waits for every task spawned in it. The first failure, of the body or of a task,
---cancels the rest and is raised; later ones are in its `others`. Raises `timeout` at the deadline.
---@overload fun(fn: fun(scope: moonloop.Scope): any): any
---@param options { deadline?: number } seconds for the whole scope, 0 to 31622400
---@param fn fun(scope: moonloop.Scope): any
---@return any ... what `fn` returned
function M.scope(options, fn)
    if type(options) == "function" then
        if fn ~= nil then
            error("scope: the options come first: scope({ deadline = 1 }, fn)", 2)
        end
        options, fn = {}, options
    end
    if type(options) ~= "table" or type(fn) ~= "function" then
        error("scope: expected a function, or options and a function", 2)
    end
    for name in pairs(options) do
        if name ~= "deadline" then
            error(require("moonloop.options").unknown("scope", name, { "deadline" }), 2)
        end
    end
    return finish(M.enclose(options.deadline, true, false, fn))
end

local function without_scope(_, fn, ...)
    return fn(...)
end

---Runs `fn(...)` with a deadline for all that it waits for. Raises `timeout` when the deadline cut a wait or a task
---short: what ends well on its own is never thrown away. Nested ones only shorten.
---@param seconds number 0 to 31622400
---@param fn function
---@return any ... what `fn` returned
function M.timeout(seconds, fn, ...)
    if seconds == nil or type(fn) ~= "function" then
        error("timeout: expected seconds and a function", 2)
    end
    return finish(M.enclose(seconds, true, false, without_scope, fn, ...))
end

---Runs `fn(...)` so that cancellation and deadlines from outside do not interrupt it: for clean-up.
---@param fn function
---@return any ... what `fn` returned
function M.shield(fn, ...)
    if type(fn) ~= "function" then
        error("shield: expected a function, got " .. type(fn), 2)
    end
    return finish(M.enclose(nil, true, true, without_scope, fn, ...))
end

return M
