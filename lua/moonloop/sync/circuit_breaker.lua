--- Circuit breakers: a service that fails again and again is left alone for a while.
---
--- closed: calls go through. After `failures` in a row within `window` seconds it is open: calls fail at once. When
--- `cooldown` seconds have passed it is half open: `half_open` calls may try; when all succeed it is closed, when one
--- fails it is open again.

local clock = require("moonloop.clock")
local error_filter = require("moonloop.sync.error_filter")
local errors = require("moonloop.util.errors")
local handle = require("moonloop.util.handle")
local log = require("moonloop.log")
local waiting = require("moonloop.sync.waiting")

---@class moonloop.CircuitBreaker
---@field state "closed"|"open"|"half_open"
---@field failing integer failures in a row
---@field private name string
local CircuitBreaker = { __name = "moonloop.CircuitBreaker" }

local function is_cool(self)
    return self.phase == "open" and clock.now() >= self.opened_at + self.cooldown
end

function CircuitBreaker.__index(self, key)
    if key == "state" then
        return is_cool(self) and "half_open" or self.phase
    end
    return CircuitBreaker[key]
end

local M = {}

local OPTIONS = { "failures", "window", "cooldown", "half_open", "on", "on_change", "name" }
local SECONDS_MAX = 31622400

---@class moonloop.CircuitBreakerOptions
---@field failures? integer 5
---@field window? number seconds; 60
---@field cooldown? number seconds; 10
---@field half_open? integer 1
---@field on? string|string[]|fun(err: any): boolean
---@field on_change? fun(state: string, before: string, breaker: moonloop.CircuitBreaker)
---@field name? string

---A closed breaker that opens after `failures` (5) in a row within `window` (60) seconds, for `cooldown` (10) seconds;
---then `half_open` (1) calls may try. `on` says which errors are failures: a code, a list of codes, or a function; by
---default all but `cancelled`, `misuse`, `deadlock` and `abort`. `on_change(state, before, breaker)` is called at each
---change; what it raises is logged.
---@param options? moonloop.CircuitBreakerOptions
---@return moonloop.CircuitBreaker
function M.circuit_breaker(options)
    options = waiting.options("circuit_breaker", options, OPTIONS)
    local function option(check, name, default, min, max)
        local value = check("circuit_breaker: " .. name, options[name] == nil and default or options[name], min, max, 2)
        return value
    end
    if options.on_change ~= nil then
        waiting.callable("circuit_breaker: on_change", options.on_change)
    end
    return setmetatable({
        failures = option(waiting.integer, "failures", 5, 1, waiting.MAX),
        window = option(waiting.number, "window", 60, 0, SECONDS_MAX),
        cooldown = option(waiting.number, "cooldown", 10, 0, SECONDS_MAX),
        trials = option(waiting.integer, "half_open", 1, 1, waiting.MAX),
        is_failure = error_filter.new("circuit_breaker: on", options.on, 2),
        on_change = options.on_change,
        name = waiting.common("circuit breaker", options),
        phase = "closed", failing = 0, trying = 0, succeeded = 0, epoch = 0, opened_at = 0, failing_since = 0,
    }, CircuitBreaker)
end

---A new phase: what calls of the one before have to say does not count any more.
local function change(self, phase)
    local before = self.phase
    self.phase, self.epoch = phase, self.epoch + 1
    self.failing, self.trying, self.succeeded = 0, 0, 0
    if phase == "open" then
        self.opened_at = clock.now()
    end
    if self.on_change then
        local ok, err = pcall(self.on_change, phase, before, self)
        if not ok then
            log.error(("on_change of the %s failed: %s"):format(self.name, errors.message(err)))
        end
    end
end

local function refuse(self, seconds)
    error(errors.new("open", ("the %s is open: the service has failed too often"):format(self.name),
        { retry_after = seconds }), 0)
end

local function admit(self)
    if is_cool(self) then
        change(self, "half_open")
    end
    if self.phase == "open" then
        refuse(self, math.max(self.opened_at + self.cooldown - clock.now(), 0))
    elseif self.phase == "half_open" then
        if self.trying + self.succeeded >= self.trials then
            refuse(self, 0)
        end
        self.trying = self.trying + 1
    end
    return self.epoch
end

local function count_failure(self)
    if self.phase == "half_open" then
        change(self, "open")
        return
    end
    local now = clock.now()
    if self.failing == 0 or now - self.failing_since > self.window then
        self.failing, self.failing_since = 0, now
    end
    self.failing = self.failing + 1
    if self.failing >= self.failures then
        change(self, "open")
    end
end

local function count_success(self)
    if self.phase == "half_open" then
        self.succeeded = self.succeeded + 1
        if self.succeeded >= self.trials then
            change(self, "closed")
        end
    else
        self.failing = 0
    end
end

local function settle(self, epoch, ok, ...)
    if epoch == self.epoch then
        if self.phase == "half_open" then
            self.trying = self.trying - 1
        end
        if ok then
            count_success(self)
        elseif self.is_failure((...)) then
            count_failure(self)
        end
    end
    if ok then
        return ...
    end
    error((...), 0)
end

---Runs `fn(...)` when the breaker lets it. Raises `open` when not, with `retry_after` in seconds; else what `fn`
---raises.
---@param fn function
---@param ... any
---@return any ... what `fn` returned
function CircuitBreaker:run(fn, ...)
    waiting.callable("circuit_breaker:run", fn)
    local epoch = admit(self)
    return settle(self, epoch, xpcall(fn, error_filter.traced, ...))
end

---Closed again, whatever has happened.
function CircuitBreaker:reset()
    if self.phase ~= "closed" then
        change(self, "closed")
    end
    self.failing = 0
end

handle.finish(CircuitBreaker, "circuit breaker", function(self)
    return handle.text(self.name, self.state)
end)

return M
