--- Semaphores: so many at a time, first come, first served.

local core = require("moonloop.core.wait_queue")
local errors = require("moonloop.util.errors")
local waiting = require("moonloop.sync.waiting")

---@class moonloop.Semaphore
---@field capacity integer
---@field available integer
---@field waiting integer how many tasks wait
---@field is_closed boolean
---@field private name string
---@field private waiters moonloop.core.WaitQueue
local Semaphore = { __name = "moonloop.Semaphore" }

function Semaphore.__index(self, key)
    if key == "waiting" then
        return self.view.length
    end
    return Semaphore[key]
end

local M = {}

local OPTIONS = { "name", "queue" }

---A semaphore with `count` permits. At most `queue` tasks (10000) wait for it: one more gets `full`.
---@param count integer 1 to 2147483647
---@param options? { name?: string, queue?: integer }
---@return moonloop.Semaphore
function M.semaphore(count, options)
    waiting.integer("semaphore: count", count, 1, waiting.MAX)
    local name, limit = waiting.common("semaphore", waiting.options("semaphore", options, OPTIONS))
    local waiters, view = waiting.queue(name, limit)
    local self = setmetatable({
        capacity = count, available = count, is_closed = false, name = name, waiters = waiters, view = view,
    }, Semaphore)
    return waiting.shown(self, "semaphore", options)
end

---For `moonloop ps`.
---@return string? what it holds
function Semaphore:detail()
    if self.available < self.capacity then
        return ("%d of %d free"):format(self.available, self.capacity)
    end
end

---Permits go to those who wait, in their order: one that wants many is not passed by later ones that want few.
local function hand_out(self)
    while self.view.length > 0 do
        local wanted = core.first(self.waiters)
        if wanted > self.available then
            return
        end
        self.available = self.available - wanted
        core.wake(self.waiters, true)
    end
end

local function check_count(self, what, count)
    count = waiting.integer(what .. ": count", count == nil and 1 or count, 1, self.capacity, 2)
    return count
end

---@param count? integer 1
---@return boolean is_acquired
function Semaphore:try_acquire(count)
    count = check_count(self, "try_acquire", count)
    if self.is_closed then
        waiting.raise_closed(self.name)
    end
    local is_free = self.available >= count and self.view.length == 0
    if is_free then
        self.available = self.available - count
    end
    return is_free
end

local function acquire(self, count)
    if self.is_closed then
        waiting.raise_closed(self.name)
    elseif self.available >= count and self.view.length == 0 then
        self.available = self.available - count
        return
    end
    local ok, is_acquired = core.wait(self.waiters, count)
    if not ok then
        hand_out(self) -- those behind may want fewer
        error(is_acquired, 0)
    elseif not is_acquired then
        waiting.raise_closed(self.name)
    end
end

---Waits for `count` permits. Raises `closed`, and `full` when too many wait.
---@param count? integer 1 to `capacity`; 1
function Semaphore:acquire(count)
    acquire(self, check_count(self, "acquire", count))
end

---Gives permits back; any task may. Raises `misuse` for more than were acquired.
---@param count? integer 1
function Semaphore:release(count)
    count = check_count(self, "release", count)
    if self.available + count > self.capacity then
        errors.raise("misuse", "the %s is released more often than it was acquired: %d of %d are free, %d more come",
            self.name, self.available, self.capacity, count)
    end
    self.available = self.available + count
    hand_out(self)
end

---Runs `fn(...)` with one permit. Raises what `acquire` raises, and what `fn` does.
---@param fn function
---@param ... any
---@return any ... what `fn` returned
function Semaphore:with(fn, ...)
    waiting.callable("semaphore:with", fn)
    acquire(self, 1)
    return waiting.run_with(self.release, self, fn, ...)
end

---Nobody gets a permit any more: all who wait get `closed`. Releasing goes on. Raises `misuse` the second time.
function Semaphore:close()
    waiting.close_once(self, self.name)
    core.wake_all(self.waiters, false)
end

-- ---- in a select ----

function Semaphore:select_check(verb)
    return verb ~= nil and verb ~= "acquire" and 'a semaphore has "acquire"' or nil
end

function Semaphore:select_try()
    return self:try_acquire()
end

function Semaphore:select_join()
    return self.waiters, 1
end

function Semaphore:select_finish(_, _, is_woken, is_acquired)
    if not is_woken then
        hand_out(self)
    elseif not is_acquired then
        waiting.raise_closed(self.name)
    end
end

waiting.finish(Semaphore, "semaphore")

return M
