--- Mutexes: one task at a time, first come, first served. A mutex knows which task holds it, so waits that would never
--- end are refused: for itself, and in a ring of tasks that hold what the next one waits for.

local core = require("moonloop.core.wait_queue")
local settle = require("moonloop.util.errors").settle
local waiting = require("moonloop.sync.waiting")

---@class moonloop.Mutex
---@field is_locked boolean
---@field holder string? the name of the task that holds it, or where that was spawned
---@field waiting integer how many tasks wait for it
---@field is_closed boolean
---@field private name string
---@field private queue moonloop.core.WaitQueue
local Mutex = { __name = "moonloop.Mutex" }

local COMPUTED = {
    waiting = function(self) return self.view.length end,
    is_locked = function(self) return core.holder(self.queue) ~= nil end,
    holder = function(self) return (core.holder(self.queue)) end,
}

function Mutex.__index(self, key)
    local value = Mutex[key]
    if value ~= nil then
        return value
    end
    local computed = COMPUTED[key]
    return computed and computed(self)
end

local M = {}

local OPTIONS = { "name", "queue" }

---A mutex that nobody holds. At most `queue` tasks (10000) wait for it: one more gets `full`. The name is for messages.
---@param options? { name?: string, queue?: integer }
---@return moonloop.Mutex
function M.mutex(options)
    local name, limit = waiting.common("mutex", waiting.options("mutex", options, OPTIONS))
    local queue, view = waiting.queue(name, limit)
    local self = setmetatable({ is_closed = false, name = name, queue = queue, view = view }, Mutex)
    return waiting.shown(self, "mutex", options)
end

---For `moonloop ps`.
---@return string? what it holds
function Mutex:detail()
    local holder = self.holder
    return holder and "held by " .. holder
end

---Waits until the running task holds it. Raises `deadlock` when it does already, or when the wait could never end (with
---the ring of tasks); `closed`; `full` when too many wait.
function Mutex:lock()
    if self.is_closed then
        waiting.raise_closed(self.name)
    end
    if settle(core.lock(self.queue)) == false then
        waiting.raise_closed(self.name)
    end
end

---@return boolean is_locked whether it was free and is the running task's now
function Mutex:try_lock()
    if self.is_closed then
        waiting.raise_closed(self.name)
    end
    return settle(core.try_lock(self.queue))
end

---The first task that waits holds it now. Raises `misuse` when the running task does not hold it. A task that ends with
---it held gives it up, which is logged.
function Mutex:unlock()
    settle(core.unlock(self.queue))
end

---Runs `fn(...)` with the mutex held. Raises what `lock` raises, and what `fn` does.
---@param fn function
---@param ... any
---@return any ... what `fn` returned
function Mutex:with(fn, ...)
    waiting.callable("mutex:with", fn)
    self:lock()
    return waiting.run_with(self.unlock, self, fn, ...)
end

---Nobody gets it any more: all who wait get `closed`; the holder goes on and unlocks. Raises `misuse` the second time.
function Mutex:close()
    waiting.close_once(self, self.name)
    core.wake_all(self.queue, false)
end

waiting.finish(Mutex, "mutex")

return M
