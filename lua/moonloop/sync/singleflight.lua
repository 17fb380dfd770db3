--- Single-flight: many want the same thing at once; it is done once, and all get the result.

local flights = require("moonloop.sync.flights")
local waiting = require("moonloop.sync.waiting")

local M = {}

local OPTIONS = { "queue" }

-- By the globals of the function: each app has its own, and so its own keys.
local by_globals = setmetatable({}, { __mode = "k" })

local function group_of(fn, limit)
    local globals = getfenv(fn)
    local group = by_globals[globals]
    if not group then
        group = flights.new("singleflight", waiting.QUEUE)
        by_globals[globals] = group
    end
    group.limit = limit
    return group
end

local function call(_, fn)
    return fn()
end

---Runs `fn()`, unless a run for the same key is under way: then waits for that. Every caller gets its results (the same
---tables, not copies) or what it raised. A caller that is cancelled leaves; the run is cancelled when all have left.
---Raises `deadlock` when the run would wait for itself, `full` when `queue` callers (10000) wait.
---@param key any but nil and NaN; compared as table keys are, within the app
---@param fn function
---@param options? { queue?: integer }
---@return any ...
function M.singleflight(key, fn, options)
    local problem = flights.key_problem(key)
    if problem then
        error("singleflight: " .. problem, 2)
    end
    waiting.callable("singleflight", fn)
    local _, limit = waiting.common("singleflight", waiting.options("singleflight", options, OPTIONS))
    return group_of(fn, limit):run(key, call, fn)
end

return M
