--- Events: something has happened, and all who wait for it go on.

local core = require("moonloop.core.wait_queue")
local waiting = require("moonloop.sync.waiting")

---@class moonloop.Event
---@field is_set boolean
---@field is_closed boolean
---@field value any what it was set with
---@field waiting integer how many tasks wait for it
---@field private name string
---@field private waiters moonloop.core.WaitQueue
local Event = { __name = "moonloop.Event" }

function Event.__index(self, key)
    if key == "waiting" then
        return self.view.length
    end
    return Event[key]
end

local M = {}

local OPTIONS = { "name", "queue" }
local CLOSED = {} -- what waiters are woken with when it is closed

---An event that has not happened. At most `queue` tasks (10000) wait for it: one more gets `full`.
---@param options? { name?: string, queue?: integer }
---@return moonloop.Event
function M.event(options)
    local name, limit = waiting.common("event", waiting.options("event", options, OPTIONS))
    local waiters, view = waiting.queue(name, limit)
    local self = setmetatable({ is_set = false, is_closed = false, name = name, waiters = waiters, view = view },
        Event)
    return waiting.shown(self, "event", options)
end

---For `moonloop ps`.
---@return string? what it holds
function Event:detail()
    return nil
end

---It has happened: all who wait go on, and whoever waits later goes on at once, until it is cleared. The first value
---stays; setting it again is harmless. Raises `closed`.
---@param value? any what `wait` gives
function Event:set(value)
    if self.is_closed then
        waiting.raise_closed(self.name)
    elseif self.is_set then
        return
    end
    self.is_set, self.value = true, value
    core.wake_all(self.waiters, value)
end

---It has not happened (again).
function Event:clear()
    self.is_set, self.value = false, nil
end

local function checked(self, ok, value)
    if not ok then
        error(value, 0)
    elseif value == CLOSED then
        waiting.raise_closed(self.name)
    end
    return value
end

---Waits until it is set. Raises `closed` when it is or gets closed before it is set, `full` when too many wait.
---@return any value what it was set with
function Event:wait()
    if self.is_set then
        return self.value
    elseif self.is_closed then
        waiting.raise_closed(self.name)
    end
    return checked(self, core.wait(self.waiters))
end

---It will never be set: all who wait get `closed`. Raises `misuse` the second time.
function Event:close()
    waiting.close_once(self, self.name)
    core.wake_all(self.waiters, CLOSED)
end

-- ---- in a select ----

function Event:select_check(verb)
    return verb ~= nil and verb ~= "wait" and 'an event has "wait"' or nil
end

function Event:select_try()
    if self.is_closed and not self.is_set then
        waiting.raise_closed(self.name)
    end
    return self.is_set, self.value
end

function Event:select_join()
    return self.waiters
end

function Event:select_finish(_, _, is_woken, value)
    return is_woken and checked(self, true, value) or nil
end


waiting.finish(Event, "event")

return M
