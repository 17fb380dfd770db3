--- What moonloop.offload costs: a round trip, many at once, and 100 MB there and back with the copies that the
--- peak of memory shows. `build/moonloop run bench/micro/offload.lua`; prints the machine and the commit.

local moonloop = require("moonloop")
local report = dofile("bench/micro/report.lua")

local ROUNDS, CALLS, TASKS = 5, 20000, 64
local BIG_BYTES = 100000000

local function show_run(name, calls, run, ...)
    local args = { n = select("#", ...), ... }
    local seconds = report.best_of(function()
        for _ = 1, calls do
            run(unpack(args, 1, args.n))
        end
    end)
    print(("%-38s %8.2f µs"):format(name, seconds / calls * 1e6))
end

local function show(name, calls, ...)
    show_run(name, calls, moonloop.offload, ...)
end

local function nothing() end
local factor = 2

report.head()

show("empty function", CALLS, nothing)
show("three arguments", CALLS, nothing, 1, "two", true)
show("a table of ten", CALLS, nothing, { 1, 2, 3, 4, 5, a = 1, b = 2, c = 3, d = 4, e = 5 })
show("an upvalue", CALLS, function(x)
    return x * factor
end, 21)
show("1 MB string there and back", 200, function(text)
    return text
end, ("x"):rep(1048576))

local processes = moonloop.pool({ kind = "process", size = 1 })

local function run_process(...)
    return processes:run(...)
end

show_run("empty function in a process", CALLS, run_process, nothing)
show_run("1 MB string there and back, process", 200, run_process, function(text)
    return text
end, ("x"):rep(1048576))
show_run("a crash, and a fresh process", 100, function(fn)
    assert(not pcall(run_process, fn))
end, function()
    require("posix.unistd")._exit(0)
end)
processes:close()

-- ---- many under way ----

local seconds = report.best_of(function()
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
print(("%-38s %8.0f calls/s"):format(TASKS .. " tasks at once", CALLS / seconds))

-- ---- 100 MB ----

local function memory_mb(field)
    for line in io.lines("/proc/self/status") do
        local kb = line:match("^" .. field .. ":%s*(%d+)")
        if kb then
            return tonumber(kb) * 1024 / 1e6
        end
    end
end

local function forget_peak()
    local file = assert(io.open("/proc/self/clear_refs", "w"))
    file:write("5")
    file:close()
end

local pool = moonloop.pool({ size = 1 }) -- one thread, which keeps its globals

local function show_big(name, fn, ...)
    local best, copies = math.huge, 0
    for _ = 1, ROUNDS do
        collectgarbage()
        forget_peak()
        local before, begin = memory_mb("VmRSS"), moonloop.now()
        pool:run(fn, ...)
        best = math.min(best, moonloop.now() - begin)
        copies = math.max(copies, (memory_mb("VmHWM") - before) * 1e6 / BIG_BYTES)
    end
    print(("%-38s %8.1f ms %6.1f times its size more memory at the peak"):format(name, best * 1e3, copies))
end

show_big("100 MB string there", function(big)
    return #big
end, ("x"):rep(BIG_BYTES))
pool:run(function(bytes)
    rawset(_G, "kept", ("y"):rep(bytes))
    collectgarbage()
end, BIG_BYTES)
show_big("100 MB string back", function()
    return rawget(_G, "kept")
end)
