--- Rate limiters: so many a second, in bursts of so many, first come, first served.
---
--- A bucket of tokens that fills steadily up to `burst`. The first task that waits (the head) sleeps until there are
--- enough for it; the others queue behind it, and each wakes the next one.

local clock = require("moonloop.clock")
local core = require("moonloop.core.wait_queue")
local errors = require("moonloop.util.errors")
local waiting = require("moonloop.sync.waiting")

---@class moonloop.RateLimiter
---@field rate number tokens a second
---@field burst integer the most that are saved up
---@field available number tokens there now
---@field waiting integer how many tasks wait
---@field is_closed boolean
---@field private name string
---@field private waiters moonloop.core.WaitQueue
---@field private turn moonloop.core.WaitQueue
local RateLimiter = { __name = "moonloop.RateLimiter" }

local M = {}

local OPTIONS = { "rate", "burst", "queue", "name" }
local SECONDS_MAX = 31622400
local LATE = 0.02 -- seconds by which a head may wake late without a loss to the rate
local ROUNDING = 1e-9

local function waiting_count(self)
    return self.view.length + (self.has_head and 1 or 0)
end

local function refill(self)
    local now = clock.now()
    local most = self.burst
    if self.has_head then
        most = most + self.rate * LATE
    end
    self.tokens = math.min(self.tokens + (now - self.filled_at) * self.rate, most)
    self.filled_at = now
    return self.tokens
end

function RateLimiter.__index(self, key)
    if key == "waiting" then
        return waiting_count(self)
    elseif key == "available" then
        return refill(self)
    end
    return RateLimiter[key]
end

---@class moonloop.RateLimiterOptions
---@field rate number how many a second, from 0.000001 on
---@field burst? integer how many may go at once after a pause; 1
---@field queue? integer how many tasks may wait; 10000, one more gets `full`
---@field name? string for messages and `moonloop ps`

---A limiter of `rate` a second.
---@param options moonloop.RateLimiterOptions
---@return moonloop.RateLimiter
function M.rate_limiter(options)
    options = waiting.options("rate_limiter", options, OPTIONS)
    local rate = waiting.number("rate_limiter: rate", options.rate, 1e-6, 1e9)
    local burst = waiting.integer("rate_limiter: burst", options.burst == nil and 1 or options.burst, 1, waiting.MAX)
    local name, limit = waiting.common("rate limiter", options)
    local waiters, view = waiting.queue(name, limit)
    local self = setmetatable({
        rate = rate, burst = burst, limit = limit, is_closed = false, name = name, waiters = waiters, view = view,
        turn = waiting.queue(name, 1), has_head = false, tokens = burst, filled_at = clock.now(),
    }, RateLimiter)
    return waiting.shown(self, "rate limiter", options)
end

---For `moonloop ps`.
---@return string? what it holds
function RateLimiter:detail()
    return nil
end

local function check_count(self, what, count)
    count = waiting.integer("rate_limiter:" .. what, count == nil and 1 or count, 1, self.burst, 2)
    return count
end

local function try_take(self, count)
    if self.is_closed then
        waiting.raise_closed(self.name)
    elseif self.has_head or refill(self) < count - ROUNDING then
        return false
    end
    self.tokens = self.tokens - count
    return true
end

---Takes `count` tokens when they are there and nobody waits.
---@param count? integer 1 to `burst`; 1
---@return boolean is_acquired
function RateLimiter:try_acquire(count)
    return try_take(self, check_count(self, "try_acquire", count))
end

---Until the task is the head: the only one, or the one that the head before it has woken.
local function queue_up(self)
    if not self.has_head then
        self.has_head = true
        return
    elseif waiting_count(self) >= self.limit then
        errors.raise("full", "%d tasks wait for the %s already, which is its limit (option queue)", self.limit,
            self.name)
    end
    local ok, is_head = core.wait(self.waiters)
    if not ok then
        error(is_head, 0)
    elseif not is_head then
        waiting.raise_closed(self.name)
    end
end

local function pass_on(self)
    if not core.wake(self.waiters, true) then
        self.has_head = false
    end
end

---The head waits for its tokens. Cancelled before it has them, it takes none.
local function wait_as_head(self, count)
    while refill(self) < count - ROUNDING do
        local seconds = math.min((count - self.tokens) / self.rate, SECONDS_MAX)
        local ok, err = core.wait(self.turn, nil, seconds)
        if ok then -- woken by close
            pass_on(self)
            waiting.raise_closed(self.name)
        elseif err ~= nil then
            pass_on(self)
            error(err, 0)
        end
    end
    self.tokens = self.tokens - count
    pass_on(self)
end

local function acquire(self, count)
    if not try_take(self, count) then
        queue_up(self)
        wait_as_head(self, count)
    end
end

---Waits for `count` tokens. Raises `full` when too many wait, `closed`.
---@param count? integer 1 to `burst`; 1
function RateLimiter:acquire(count)
    acquire(self, check_count(self, "acquire", count))
end

---Runs `fn(...)` when there is a token for it.
---@param fn function
---@param ... any
---@return any ... what `fn` returned
function RateLimiter:with(fn, ...)
    waiting.callable("rate_limiter:with", fn)
    acquire(self, 1)
    return fn(...)
end

---Nobody gets a token any more: all who wait get `closed`. Raises `misuse` the second time.
function RateLimiter:close()
    waiting.close_once(self, self.name)
    core.wake_all(self.turn)
    core.wake_all(self.waiters, false)
end

waiting.finish(RateLimiter, "rate limiter")

return M
