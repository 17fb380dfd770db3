--- Retry: again after a failure, with pauses that grow.

local chance = require("moonloop.sync.chance")
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

local function attempt(number, fn, ends_at)
    if ends_at then
        return task.timeout(math.max(ends_at - task.now(), 0), fn, number)
    end
    return fn(number)
end

---Runs `fn(attempt)` until it ends well, at most `times` (3) times. It pauses `backoff` (0.1) seconds after the first
---failure, then `factor` (2) times as long each time, at most `max_backoff` (30); `jitter` takes a random part off each
---pause: true (the default) up to half, false nothing, or a number from 0 to 1. An error that says `retry_after` seconds
---is given them. `on` says which errors are worth it: a code, a list of codes, or a function; by default all but
---`cancelled`, `misuse`, `deadlock` and `abort`. `cancelled`, and a deadline around it, never are. `deadline` is seconds
---for all attempts and pauses: `timeout` ends a running attempt, and no pause is begun that would end later.
---Raises the last error, with the list of those before as `attempts` and the count as `tries`.
---@overload fun(fn: fun(attempt: integer): any): any
---@param options { times?: integer, backoff?: number, max_backoff?: number, factor?: number, jitter?: boolean|number, on?: any, deadline?: number }
---@param fn fun(attempt: integer): any
---@return any ... what `fn` returned
function M.retry(options, fn)
    if type(options) == "function" and fn == nil then
        options, fn = nil, options
    end
    local plan = read_options(options)
    waiting.callable("retry", fn)
    local ends_at = plan.deadline and task.now() + plan.deadline
    local earlier = {}
    for number = 1, plan.times do
        local results = pack(xpcall(attempt, error_filter.traced, number, fn, ends_at))
        if results[1] then
            return unpack(results, 2, results.n)
        end
        local err = results[2]
        if number == plan.times or not plan.is_worth_it(err) then
            error(final(err, earlier), 0)
        end
        local pause = next_pause(plan, err)
        if ends_at and task.now() + pause >= ends_at then
            error(final(err, earlier), 0)
        end
        earlier[#earlier + 1] = err
        task.sleep(pause) -- raises when the scope around has ended
    end
end

return M
