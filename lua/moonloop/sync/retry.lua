--- Retry: again after a failure, with pauses that grow.

local chance = require("moonloop.sync.chance")
local clock = require("moonloop.clock")
local error_filter = require("moonloop.sync.error_filter")
local errors = require("moonloop.util.errors")
local task = require("moonloop.task")
local waiting = require("moonloop.sync.waiting")

local M = {}

local OPTIONS = { "times", "backoff", "max_backoff", "factor", "jitter", "on", "deadline" }
local SECONDS_MAX = 31622400

local function number_option(options, name, default, min, max)
    if options[name] == nil then
        return default
    end
    local value = waiting.number("retry: " .. name, options[name], min, max, 3)
    return value
end

local function read_jitter(jitter)
    if jitter == nil or jitter == true then
        return 0.5
    elseif jitter == false then
        return 0
    end
    local value = waiting.number("retry: jitter", jitter, 0, 1, 3)
    return value
end

local function read_options(options)
    options = waiting.options("retry", options, OPTIONS, 2)
    local times = waiting.integer("retry: times", options.times == nil and 3 or options.times, 1, waiting.MAX, 2)
    return {
        times = times,
        pause = number_option(options, "backoff", 0.1, 0, SECONDS_MAX),
        max_pause = number_option(options, "max_backoff", 30, 0, SECONDS_MAX),
        factor = number_option(options, "factor", 2, 1, 1000),
        jitter = read_jitter(options.jitter),
        deadline = number_option(options, "deadline", nil, 0, SECONDS_MAX),
        is_worth_it = error_filter.new("retry: on", options.on, 3),
    }
end

---The error of the last attempt, with those before it.
local function final(err, earlier)
    if #earlier > 0 and errors.is(err) then
        local attempts = {}
        for _, each in ipairs(earlier) do
            if each ~= err then
                attempts[#attempts + 1] = each
            end
        end
        err.attempts, err.tries = attempts, #earlier + 1
    end
    return err
end

local function next_pause(plan, err)
    local pause = math.min(plan.pause, plan.max_pause)
    plan.pause = math.min(plan.pause * plan.factor, SECONDS_MAX)
    pause = pause * (1 - plan.jitter * chance.fraction())
    local wished = type(err) == "table" and rawget(err, "retry_after")
    if type(wished) == "number" and wished > pause then
        pause = math.min(wished, SECONDS_MAX)
    end
    return pause
end

local function pack(...)
    return { n = select("#", ...), ... }
end

---@class moonloop.RetryPlan
---@field times integer attempts
---@field pause number seconds after the next failure
---@field max_pause number seconds
---@field factor number
---@field jitter number 0 to 1
---@field is_worth_it fun(err: any): boolean
---@field ends_at? number no pause is begun that would end later
---@field before_pause? fun(err: any)

---For who has a plan already: the loop itself. No part of the face.
---@param plan moonloop.RetryPlan used up by it
---@param fn fun(attempt: integer): any
---@return any ... what `fn` returned
function M.run(plan, fn)
    local earlier = {}
    for number = 1, plan.times do
        local results = pack(xpcall(fn, error_filter.traced, number))
        if results[1] then
            return unpack(results, 2, results.n)
        end
        local err = results[2]
        if number == plan.times or not plan.is_worth_it(err) then
            error(final(err, earlier), 0)
        end
        local pause = next_pause(plan, err)
        if plan.ends_at and clock.now() + pause >= plan.ends_at then
            error(final(err, earlier), 0)
        end
        earlier[#earlier + 1] = err
        if plan.before_pause then
            plan.before_pause(err)
        end
        task.sleep(pause) -- raises when the scope around has ended
    end
end

---@class moonloop.RetryOptions
---@field times? integer attempts, the first one included; 3
---@field backoff? number seconds after the first failure; 0.1
---@field factor? number by which each pause is longer than the one before; 2
---@field max_backoff? number seconds; 30
---@field jitter? boolean|number how much chance may take off a pause: 0 to 1, false (0), or true (0.5), the default
---@field on? string|string[]|fun(err: any): boolean which errors are worth it
---@field deadline? number seconds for all attempts and pauses

---Runs `fn(attempt)` until it ends well, at most `times` times, with pauses that grow. An error that says `retry_after`
---seconds is given them. Worth another attempt are all errors but `cancelled`, `misuse`, `deadlock` and `abort`, or
---those that `on` names: a code, a list of codes, or a function. `cancelled`, and a deadline around it, never are. At
---the `deadline` a running attempt raises `timeout`, and no pause is begun that would end later.
---Raises the last error, with the list of those before as `attempts` and the count as `tries`.
---@overload fun(fn: fun(attempt: integer): any): any
---@param options moonloop.RetryOptions
---@param fn fun(attempt: integer): any
---@return any ... what `fn` returned
function M.retry(options, fn)
    if type(options) == "function" and fn == nil then
        options, fn = nil, options
    end
    local plan = read_options(options)
    waiting.callable("retry", fn)
    if not plan.deadline then
        return M.run(plan, fn)
    end
    plan.ends_at = clock.now() + plan.deadline
    return M.run(plan, function(number)
        return task.timeout(math.max(plan.ends_at - clock.now(), 0), fn, number)
    end)
end

return M
