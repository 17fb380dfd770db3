--- What tasks cost: spawn and wait, sleep(0), a hundred thousand asleep at once, and waking them.
--- Run with `build/moonloop run bench/micro/tasks.lua`; prints the machine and the commit. Times are CPU time of this
--- process. Exit status 1 when a sleeping task is larger than its limit, or waking grows faster than its logarithm.

local moonloop = require("moonloop")
local report = dofile("bench/micro/report.lua")

local function resident_kb()
    for line in io.lines("/proc/self/status") do
        local kb = line:match("^VmRSS:%s*(%d+)")
        if kb then
            return tonumber(kb)
        end
    end
    return 0
end

local function empty() end

report.head()

report.measure("spawn + wait of an empty task", 200000, function(times)
    for _ = 1, times do
        moonloop.spawn(empty):wait()
    end
end)

report.measure("spawn of 1000, then wait for each", 200000, function(times)
    local tasks = {}
    for _ = 1, times / 1000 do
        for i = 1, 1000 do
            tasks[i] = moonloop.spawn(empty)
        end
        for i = 1, 1000 do
            tasks[i]:wait()
        end
    end
end)

report.measure("sleep(0)", 100000, function(times)
    for _ = 1, times do
        moonloop.sleep(0)
    end
end)

report.measure("scope without a task", 200000, function(times)
    for _ = 1, times do
        moonloop.scope(empty)
    end
end)

report.measure("gather of two empty functions", 100000, function(times)
    for _ = 1, times do
        moonloop.gather(empty, empty)
    end
end)

local SLEEPER_LIMIT = 1500 -- bytes
local WAKING_GROWTH = 3 -- from 1,000 asleep to 100,000; their logarithms are as 3 to 5

---Lets so many sleep until times of their own, spread over a quarter of a second.
---@return number asleep microseconds of CPU time for one to fall asleep
---@return number awake for one to wake and end
---@return number bytes of memory for each that sleeps
local function sleepers(count)
    collectgarbage()
    collectgarbage()
    local kb, began, asleep = resident_kb(), os.clock(), nil
    local bytes
    moonloop.scope(function(scope)
        local due = moonloop.now() + count * 2e-5 + 0.25 -- when the last one has fallen asleep for certain
        for i = 1, count do
            local at = due + (i * 7919 % count) / count * 0.25
            scope:spawn(function()
                moonloop.sleep(math.max(0, at - moonloop.now()))
            end)
        end
        for _ = 1, count / 500 + 2 do
            moonloop.sleep(0)
        end
        asleep = os.clock()
        bytes = (resident_kb() - kb) * 1024 / count
    end)
    return (asleep - began) / count * 1e6, (os.clock() - asleep) / count * 1e6, bytes
end

local largest, waking = 0, {}
for _, count in ipairs({ 1000, 10000, 100000 }) do
    local asleep, awake, bytes = math.huge, math.huge, nil
    for round = 1, 3 do
        local asleep_now, awake_now, bytes_now = sleepers(count)
        asleep, awake = math.min(asleep, asleep_now), math.min(awake, awake_now)
        bytes = round == 1 and bytes_now or bytes -- memory that is there already does not show again
    end
    waking[count], largest = awake, bytes
    print(("%-38s %8.3f µs asleep, %.3f µs awake"):format(count .. " sleeping tasks, each", asleep, awake))
end
print(("%-38s %8.0f bytes; under %d: %s"):format("one of 100000 asleep", largest, SLEEPER_LIMIT,
    largest < SLEEPER_LIMIT and "yes" or "NO"))
local growth = waking[100000] / waking[1000]
print(("%-38s %8.2f; at most %d: %s"):format("waking 100000, as to 1000", growth, WAKING_GROWTH,
    growth <= WAKING_GROWTH and "yes" or "NO"))
if largest >= SLEEPER_LIMIT or growth > WAKING_GROWTH then
    os.exit(1)
end
