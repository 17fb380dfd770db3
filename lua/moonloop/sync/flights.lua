--- Runs that several callers share: one for a key at a time.
---
--- The run is a task that belongs to none of them. A caller that is cancelled leaves it; when the last one has left it
--- is cancelled. A caller that the run itself waits for is told so (`deadlock`): it waits like for any task.

local errors = require("moonloop.util.errors")
local task = require("moonloop.task")

---@class moonloop.sync.Flight
---@field task moonloop.Task
---@field callers integer

---@class moonloop.sync.Flights
---@field private name string for messages
---@field private limit integer of callers of one run
---@field private flights table<any, moonloop.sync.Flight>
local Flights = {}
Flights.__index = Flights

local M = {}

---@param name string
---@param limit integer
---@return moonloop.sync.Flights
function M.new(name, limit)
    return setmetatable({ name = name, limit = limit, flights = {} }, Flights)
end

---What is wrong with a key, or nil.
---@param key any
---@return string?
function M.key_problem(key)
    if key == nil then
        return "nil is no key"
    end
    return key ~= key and "a key that is not a number (NaN) is never found again" or nil
end

---The run of a key that has not ended.
---@return moonloop.sync.Flight?
function Flights:find(key)
    local flight = self.flights[key]
    return flight and not flight.task.state and flight or nil
end

---Starts `fn(flight, ...)` as the run of a key. Who starts it counts as a caller until `leave`.
---@return moonloop.sync.Flight
function Flights:start(key, fn, ...)
    local flight = { callers = 1 }
    flight.task = task.spawn_detached(fn, flight, ...)
    self.flights[key] = flight
    return flight
end

---Whether a run is still that of its key.
---@param flight moonloop.sync.Flight
function Flights:is_current(key, flight)
    return self.flights[key] == flight
end

---Later callers start a run of their own; those of this one still get its result.
function Flights:forget(key)
    self.flights[key] = nil
end

function Flights:forget_all()
    self.flights = {}
end

---One caller less.
---@param flight moonloop.sync.Flight
function Flights:leave(key, flight)
    flight.callers = flight.callers - 1
    if flight.callers == 0 then
        if self.flights[key] == flight then
            self.flights[key] = nil
        end
        flight.task:cancel("everyone who waited for it has left")
    end
end

local function finish(self, key, flight, ok, ...)
    self:leave(key, flight)
    if ok then
        return ...
    end
    error((...), 0)
end

---Runs `fn(flight, ...)` as the run of the key, or joins the one that is under way, and waits for it.
---@return any ... its results, or what it raised, as every caller gets them
function Flights:run(key, fn, ...)
    local flight = self:find(key)
    if not flight then
        flight = self:start(key, fn, ...)
    elseif flight.callers >= self.limit then
        errors.raise("full", "%d tasks wait for the %s of this key already, which is its limit (option queue)",
            flight.callers, self.name)
    else
        flight.callers = flight.callers + 1
    end
    return finish(self, key, flight, pcall(flight.task.wait, flight.task))
end

return M
