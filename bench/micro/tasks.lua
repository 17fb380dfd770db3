--- What tasks cost: spawn and wait, sleep(0), a hundred thousand asleep at once.
--- Run with `build/moonloop run bench/micro/tasks.lua`; prints the machine and the commit.

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

local SLEEPERS = 100000
collectgarbage()
local kb, started = resident_kb(), moonloop.now()
local woken_first, due
moonloop.scope(function(scope)
    for _ = 1, SLEEPERS do
        scope:spawn(function()
            moonloop.sleep(due - moonloop.now())
            woken_first = woken_first or moonloop.now()
        end)
    end
    due = moonloop.now() + 1
    moonloop.sleep(0)
    moonloop.sleep(0)
    print(("%-50s %8.3f µs"):format("falling asleep, of 100,000", (moonloop.now() - started) / SLEEPERS * 1e6))
    print(("%-50s %8.0f bytes"):format("memory of one asleep",
        (resident_kb() - kb) * 1024 / SLEEPERS))
end)
print(("%-50s %8.3f µs"):format("waking and ending, of 100,000", (moonloop.now() - woken_first) / SLEEPERS * 1e6))
