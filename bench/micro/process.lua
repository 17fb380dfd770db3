--- Starting /bin/true: `build/moonloop run bench/micro/process.lua [--ballast MB]`. Microseconds a start and end,
--- the best of five rounds, beside Python's os.posix_spawn and subprocess.run in the same run.

local moonloop = require("moonloop")
local report = dofile("bench/micro/report.lua")

local CALLS, AT_ONCE = 200, 8

local PEERS = [[
import os, subprocess, sys, time
def best(name, fn):
    rounds = []
    for _ in range(5):
        begin = time.perf_counter()
        for _ in range(200):
            fn()
        rounds.append(time.perf_counter() - begin)
    print("%-36s %8.0f us" % (name, min(rounds) / 200 * 1e6))
def bare():
    os.waitpid(os.posix_spawn("/bin/true", ["true"], os.environ), 0)
def captured():
    subprocess.run(["/bin/true"], capture_output=True)
best("python os.posix_spawn + waitpid", bare)
best("python subprocess.run, captured", captured)
]]

local function show(name, options)
    local seconds = report.best_of(function()
        for _ = 1, CALLS do
            moonloop.process.run({ "/bin/true" }, options)
        end
    end)
    print(("%-36s %8.0f us"):format(name, seconds / CALLS * 1e6))
end

local ballast
for i = 1, select("#", ...) do
    if select(i, ...) == "--ballast" then
        ballast = ("x"):rep(tonumber((select(i + 1, ...))) * 1048576)
        print(("with %d MB of memory of its own"):format(#ballast / 1048576))
    end
end

local function captured_all(calls)
    for _ = 1, calls do
        moonloop.process.run({ "/bin/true" })
    end
end

show("moonloop process.run, captured")
show("moonloop process.run, discarded", { stdout = "discard", stderr = "discard" })
local seconds = report.best_of(function()
    local tasks = {}
    for i = 1, AT_ONCE do
        tasks[i] = moonloop.spawn(captured_all, CALLS / AT_ONCE)
    end
    for _, task in ipairs(tasks) do
        task:wait()
    end
end)
print(("%-36s %8.0f us"):format("moonloop process.run, " .. AT_ONCE .. " at once", seconds / CALLS * 1e6))
io.write(moonloop.process.run({ "python3", "-c", PEERS }, { check = true }).stdout)
local data = ("x"):rep(100 * 1048576)
seconds = report.best_of(function()
    moonloop.process.run({ "cat" }, { stdin = data, max_output = 2 ^ 30 })
end)
print(("%-36s %8.0f MB/s"):format("100 MB through cat", 100 / seconds))
