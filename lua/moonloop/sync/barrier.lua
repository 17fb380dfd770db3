--- Barriers: so many tasks wait until all of them have come, then all go on; again and again.

local core = require("moonloop.core.wait_queue")
local errors = require("moonloop.util.errors")
local waiting = require("moonloop.sync.waiting")

---@class moonloop.Barrier
---@field count integer how many have to come
---@field waiting integer how many have come
---@field rounds integer how often all have come
---@field is_broken boolean
---@field is_closed boolean
---@field private name string
---@field private waiters moonloop.core.WaitQueue
local Barrier = { __name = "moonloop.Barrier" }

function Barrier.__index(self, key)
    if key == "waiting" then
        return self.view.length
    end
    return Barrier[key]
end

local M = {}

local OPTIONS = { "name" }

---A barrier for `count` tasks. It needs no limit: never do more than `count - 1` wait.
---@param count integer 1 to 2147483647
---@param options? { name?: string }
---@return moonloop.Barrier
function M.barrier(count, options)
    waiting.integer("barrier: count", count, 1, waiting.MAX)
    local name = waiting.common("barrier", waiting.options("barrier", options, OPTIONS))
    local waiters, view = waiting.queue(name, count)
    local self = setmetatable({
        count = count, rounds = 0, generation = 0, is_broken = false, is_closed = false, name = name,
        waiters = waiters, view = view,
    }, Barrier)
    return waiting.shown(self, "barrier", options)
end

---For `moonloop ps`.
---@return string? what it holds
function Barrier:detail()
    return self.is_broken and "broken" or nil
end

local function raise_broken(self)
    errors.raise("broken", "the %s is broken: a task was cancelled while it waited for the others", self.name)
end

local function check(self)
    if self.is_closed then
        waiting.raise_closed(self.name)
    elseif self.is_broken then
        raise_broken(self)
    end
end

---Waits until `count` tasks wait. When one of them is cancelled meanwhile the barrier is broken: the others, and
---whoever comes later, get `broken` until `reset`. Raises `closed`.
---@return integer place 1 for the first that came, `count` for the last, which does not wait
function Barrier:wait()
    check(self)
    local place, generation = self.view.length + 1, self.generation
    if place == self.count then
        self.rounds, self.generation = self.rounds + 1, generation + 1
        core.wake_all(self.waiters, true)
        return place
    end
    local ok, has_all = core.wait(self.waiters)
    if not ok then
        if self.generation == generation and not self.is_closed then
            self.is_broken = true
            core.wake_all(self.waiters, false)
        end
        error(has_all, 0)
    elseif not has_all then
        check(self)
        raise_broken(self) -- and made good already
    end
    return place
end

---A broken barrier is as new. Whoever waits gets `broken`.
function Barrier:reset()
    self.is_broken = false
    self.generation = self.generation + 1
    core.wake_all(self.waiters, false)
end

---Nobody waits any more: all who do get `closed`. Raises `misuse` the second time.
function Barrier:close()
    waiting.close_once(self, self.name)
    core.wake_all(self.waiters, false)
end

waiting.finish(Barrier, "barrier")

return M
