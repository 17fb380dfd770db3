--- Round trip of moonloop.offload: `build/moonloop run bench/micro/offload.lua`. Microseconds a call, the best
--- of five rounds; then calls a second with many under way.

local moonloop = require("moonloop")

local ROUNDS, CALLS, TASKS = 5, 20000, 64

local function best_of(fn)
    local best = math.huge
    for _ = 1, ROUNDS do
        local begin = moonloop.now()
        fn()
        best = math.min(best, moonloop.now() - begin)
    end
    return best
end

local function show(name, calls, fn, ...)
    local args = { ... }
    local seconds = best_of(function()
        for _ = 1, calls do
            moonloop.offload(fn, unpack(args))
        end
    end)
    print(("%-28s %8.2f µs"):format(name, seconds / calls * 1e6))
end

local function nothing() end
local factor = 2

show("empty function", CALLS, nothing)
show("three arguments", CALLS, nothing, 1, "two", true)
show("a table of ten", CALLS, nothing, { 1, 2, 3, 4, 5, a = 1, b = 2, c = 3, d = 4, e = 5 })
show("an upvalue", CALLS, function(x)
    return x * factor
end, 21)
show("1 MB string there and back", 200, function(text)
    return text
end, ("x"):rep(1048576))

local seconds = best_of(function()
    local tasks = {}
    for i = 1, TASKS do
        tasks[i] = moonloop.spawn(function()
            for _ = 1, CALLS / TASKS do
                moonloop.offload(nothing)
            end
        end)
    end
    for _, task in ipairs(tasks) do
        task:wait()
    end
end)
print(("%-28s %8.0f calls/s"):format(TASKS .. " tasks at once", CALLS / seconds))
