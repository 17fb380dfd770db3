--- Pools of kind "process", inside the runtime: `moonloop test spec/script/process_pool_spec.lua`.

local gates = require("spec.support.gate")
local moonloop = require("moonloop")
local process = require("spec.support.process")
local server = require("spec.support.server")
local support = require("spec.support.tasks")
local unistd = require("posix.unistd")

local failure, wait_until = support.failure, support.eventually

local pool

--- What a job has written to its caller's file.
local function wait_text(path)
    local text = wait_until(function()
        local text = process.read(path)
        return text ~= "" and text
    end)
    os.remove(path)
    return text
end

--- In a job: tells who runs it.
local function show_pid(path)
    local file = io.open(path .. ".new", "w")
    file:write(require("posix.unistd").getpid())
    file:close()
    os.rename(path .. ".new", path)
end

local function get_pid()
    return require("posix.unistd").getpid()
end

local function spin()
    while true do
        _G.spinning = true
    end
end

describe("a pool of processes", function()
    before_each(function()
        pool = moonloop.pool({ kind = "process", size = 2, queue = 10 })
    end)
    after_each(function()
        pool:close()
        pool = nil
    end)

    it("runs functions in another process of the same program, and keeps it from job to job", function()
        local pid = pool:run(get_pid)
        assert.is_true(pid ~= unistd.getpid())
        assert.equal(unistd.readlink("/proc/self/exe"), unistd.readlink("/proc/" .. pid .. "/exe"))
        assert.equal(pid, pool:run(get_pid))
    end)

    it("copies what threads copy: values, tables with cycles, closures, modules", function()
        local function pack(...)
            return { n = select("#", ...), ... }
        end
        assert.same({ n = 4, 1, nil, "x", nil }, pack(pool:run(function(a, b, c, d)
            return a, b, c, d
        end, 1, nil, "x", nil)))
        local shared = { name = "shared" }
        local ring = setmetatable({ a = shared, b = shared }, { __index = { inherited = 7 } })
        ring.me = ring
        local copy = pool:run(function(r)
            assert(r.me == r and r.a == r.b and r.inherited == 7)
            return r
        end, ring)
        assert.is_true(copy ~= ring and copy.me == copy and copy.a == copy.b and copy.inherited == 7)
        local count, factor = 0, 3
        local function factorial(n)
            return n <= 1 and 1 or n * factorial(n - 1)
        end
        local function increment()
            count = count + factor
        end
        assert.equal(126, pool:run(function(twice)
            twice(increment)
            return factorial(5) + count
        end, function(fn)
            fn()
            fn()
        end))
        assert.equal(0, count)
        local big, is_null, text = pool:run(function(n, null)
            return 9007199254740993LL + n, null == moonloop.json.null, moonloop.json.encode({ math.floor(2.5) })
        end, 0, moonloop.json.null)
        assert.is_true(big == 9007199254740993LL)
        assert.same({ true, "[2]" }, { is_null, text })
        assert.equal(9, pool:run(function()
            return function(x)
                return x * factor
            end
        end)(3))
        assert.matches("argument 1: cannot send a userdata", failure(pool.run, pool, print, io.stdout), 1, true)
    end)

    it("takes strings of megabytes there and back, many of them at once as well", function()
        local big = ("0123456789abcdef"):rep(2 ^ 20)
        assert.is_true(pool:run(function(text)
            return text
        end, big) == big)
        local list = {}
        for i = 1, 300 do
            list[i] = (("%04d"):format(i)):rep(5000)
        end
        assert.same(list, pool:run(function(strings)
            return strings
        end, list))
    end)

    it("raises what the job raised, with the traceback of both sides", function()
        local err = failure(pool.run, pool, function()
            require("moonloop.util.errors").raise("mine", "number %d", 7)
        end)
        assert.same({ "mine", "number 7" }, { err.code, err.message })
        assert.matches("process_pool_spec.lua:.*offloaded at:.*process_pool_spec.lua", err.traceback)
        assert.equal(0, pool:stats().crashed)
    end)

    it("lets tasks, timers and nested offload work in the process", function()
        assert.same({ 1, 2, "inner" }, pool:run(function()
            local one = moonloop.spawn(function()
                moonloop.sleep(0.01)
                return 1
            end)
            return { one:wait(), moonloop.timeout(5, moonloop.offload, function()
                return 2
            end), moonloop.pool({ kind = "process" }):run(function()
                return "inner"
            end) }
        end))
    end)

    it("sends progress ahead", function()
        local job = pool:start(function(last)
            for i = 1, last do
                moonloop.progress(i, ("%d"):format(i):rep(20000))
                moonloop.sleep(0.001)
            end
            return "done"
        end, 5)
        local seen = {}
        for i, text in job:progress() do
            assert.equal(("%d"):format(i):rep(20000), text)
            seen[#seen + 1] = i
        end
        assert.same({ 1, 2, 3, 4, 5 }, seen)
        assert.equal("done", job:wait())
    end)

    it("fails a job whose process is killed with the code crashed, and goes on", function()
        local path = gates.new()
        local job = moonloop.spawn(pcall, pool.run, pool, function()
            show_pid(path)
            moonloop.sleep(60)
        end)
        local pid = tonumber(wait_text(path))
        process.kill(pid, "KILL")
        local _, err = job:wait()
        assert.equal("crashed", err.code)
        assert.matches("the process that ran spec/script/process_pool_spec.lua:%d+ has ended: killed by SIGKILL",
            err.message)
        local stats = pool:stats()
        assert.same({ 1, 0, 1 }, { stats.crashed, stats.processes, stats.jobs })
        assert.is_true(pool:run(get_pid) ~= pid)
        assert.is_false(process.exists(pid))
    end)

    it("survives what ends a process in C: a bad pointer, abort, os.exit", function()
        local function crash(name)
            local ffi = require("ffi")
            ffi.cdef("void (*signal(int, void (*)(int)))(int); void abort(void);")
            if name == "SIGSEGV" then
                ffi.C.signal(11, nil) -- a sanitizer's handler would tell about it and exit
                ffi.cast("volatile int *", 8)[0] = 1
            elseif name == "SIGABRT" then
                ffi.C.abort()
            end
            os.exit(3)
        end
        for _, how in ipairs({ "killed by SIGSEGV", "killed by SIGABRT", "exit code 3" }) do
            local err = failure(pool.run, pool, crash, how:match("SIG%u+"))
            assert.equal("crashed", err.code)
            assert.matches(how, err.message, 1, true)
        end
        assert.equal(3, pool:stats().crashed)
        assert.equal("fine", pool:run(function()
            return "fine"
        end))
    end)

    it("kills a process that writes what is no message", function()
        local err = failure(pool.run, pool, function()
            require("posix.unistd").write(3, ("garbage"):rep(100))
            moonloop.sleep(60)
        end)
        assert.equal("crashed", err.code)
        assert.matches("wrote what is no message", err.message, 1, true)
        assert.equal(0, pool:stats().processes)
    end)

    it("takes a fresh process for the one that died between two jobs", function()
        local pid = pool:run(get_pid)
        process.kill(pid, "KILL")
        wait_until(function() -- of all its threads
            local threads = 0
            for name in require("posix.dirent").files(("/proc/%d/task"):format(pid)) do
                threads = threads + (name:match("^%d+$") and 1 or 0)
            end
            return threads == 1 and not process.exists(pid)
        end)
        assert.is_true(pool:run(get_pid) ~= pid)
        assert.equal(0, pool:stats().crashed)
    end)

    it("kills an endless loop at the caller's deadline, and the processor is free", function()
        local path = gates.new()
        local err = failure(moonloop.timeout, 0.3, pool.run, pool, function()
            show_pid(path)
            spin()
        end)
        assert.equal("timeout", err.code)
        local pid = tonumber(wait_text(path))
        wait_until(function()
            return not process.exists(pid)
        end)
        wait_until(function()
            return pool:stats().busy == 0
        end)
        assert.same({ 1, 0, 0 }, { pool:stats().killed, pool:stats().crashed, pool:stats().processes })
        assert.equal(1, pool:run(function()
            return 1
        end))
    end)

    it("sends a job anew whose process dies before it has all of it", function()
        local single = moonloop.pool({ kind = "process", size = 1 })
        local pid, big = single:run(get_pid), ("x"):rep(16 * 2 ^ 20)
        process.kill(pid, "STOP") -- takes no more than fits into the socket
        local task = moonloop.spawn(single.run, single, function(text)
            return #text
        end, big)
        wait_until(function()
            return single:stats().busy == 1
        end)
        process.kill(pid, "KILL")
        assert.equal(#big, task:wait())
        single:close()
    end)

    it("kills a process that takes nothing, when the job that it should take is cancelled", function()
        local single = moonloop.pool({ kind = "process", size = 1 })
        local pid = single:run(get_pid)
        process.kill(pid, "STOP")
        local task = moonloop.spawn(single.run, single, function() end, ("x"):rep(16 * 2 ^ 20))
        wait_until(function()
            return single:stats().busy == 1
        end)
        task:cancel()
        assert.equal("cancelled", failure(task.wait, task).code)
        wait_until(function()
            return single:stats().killed == 1
        end)
        assert.is_true(single:run(get_pid) ~= pid)
        single:close()
    end)

    it("kills a cancelled job that goes on sending progress", function()
        local path = gates.new()
        local job = pool:start(function()
            show_pid(path)
            while true do
                moonloop.progress(1)
            end
        end)
        wait_text(path)
        job:cancel()
        wait_until(function()
            return pool:stats().killed == 1
        end)
    end)

    it("takes cancellation at any moment of a process's life", function()
        for round = 1, 60 do
            local task = moonloop.spawn(pool.run, pool, get_pid)
            if round % 3 ~= 0 then
                moonloop.sleep(round % 3 == 1 and 0 or round / 10000)
            end
            task:cancel()
            local ok, err = pcall(task.wait, task)
            assert.is_true(ok or err.code == "cancelled")
        end
        wait_until(function()
            return pool:stats().busy == 0
        end)
        assert.is_number(pool:run(get_pid))
        assert.equal(0, pool:stats().crashed)
    end)

    --- Cancels a job that waits. True when it has unwound in time; a machine that is busy may not let it.
    local function unwinds()
        local path, left = gates.new(), gates.new()
        local killed = pool:stats().killed
        local task = moonloop.spawn(pool.run, pool, function()
            local ok, err = pcall(function()
                show_pid(path)
                moonloop.sleep(60)
            end)
            moonloop.shield(moonloop.sleep, 0.01)
            local file = io.open(left .. ".new", "w")
            file:write(tostring(ok), " ", err.code)
            file:close()
            os.rename(left .. ".new", left)
        end)
        local pid = tonumber(wait_text(path))
        task:cancel()
        assert.equal("cancelled", failure(task.wait, task).code)
        wait_until(function()
            return pool:stats().busy == 0
        end)
        if pool:stats().killed > killed then
            return false
        end
        assert.equal("false cancelled", wait_text(left))
        assert.equal(pid, pool:run(get_pid))
        return true
    end

    it("lets a cancelled job that waits unwind, and keeps its process", function()
        assert.is_true(unwinds() or unwinds() or unwinds() or unwinds())
    end)

    it("kills a cancelled job that takes too long to unwind", function()
        local path = gates.new()
        local task = moonloop.spawn(pool.run, pool, function()
            pcall(function()
                show_pid(path)
                moonloop.sleep(60)
            end)
            moonloop.shield(moonloop.sleep, 60)
        end)
        wait_text(path)
        task:cancel()
        wait_until(function()
            return pool:stats().killed == 1
        end)
    end)

    it("leaves no descriptor of this process open in the other", function()
        local secret = assert(io.open("/etc/hostname"))
        local pid = pool:run(get_pid)
        local pipe = io.popen(("ls -l /proc/%d/fd"):format(pid))
        local list = pipe:read("*a")
        pipe:close()
        secret:close()
        assert.is_nil(list:find("hostname", 1, true))
        assert.equal(1, select(2, list:gsub("socket:", "")))
        assert.matches("0 %-> /dev/null", list)
    end)

    it("does not hand its own descriptors to programs that a job starts", function()
        local list = pool:run(function()
            local pipe = io.popen("ls -l /proc/self/fd")
            local text = pipe:read("*a")
            pipe:close()
            return text
        end)
        assert.is_nil(list:find("socket:", 1, true))
    end)

    it("hears of a death although a process that the job forked holds on", function()
        local err = failure(pool.run, pool, function()
            local other = require("posix.unistd")
            if other.fork() == 0 then
                other.sleep(60)
            end
            os.exit(4)
        end)
        assert.matches("has ended: exit code 4", err.message, 1, true)
    end)

    it("ends the programs that a job has started with its process", function()
        local path = gates.new()
        failure(moonloop.timeout, 0.3, pool.run, pool, function()
            os.execute("echo $$ > " .. path .. ".new; mv " .. path .. ".new " .. path .. "; exec sleep 60")
        end)
        local pid = tonumber(wait_text(path))
        wait_until(function()
            return not process.exists(pid)
        end)
    end)

    it("ends its processes when it is closed", function()
        local pid = pool:run(get_pid)
        pool:close()
        wait_until(function()
            return not unistd.access("/proc/" .. pid)
        end)
    end)
end)

--- Prints how many descriptors and children there are more after `runs` crashes than before.
local CRASHES = [[
local moonloop = require("moonloop")
local files = require("posix.dirent").files
local pool = moonloop.pool({ kind = "process", size = 2 })

local function count()
    local fds, children, parent = 0, 0, require("posix.unistd").getpid()
    for _ in files("/proc/self/fd") do
        fds = fds + 1
    end
    for name in files("/proc") do
        local file = name:match("^%d+$") and io.open("/proc/" .. name .. "/stat")
        if file and tonumber((file:read("*a") or ""):match("^%d+ %b() %a (%d+)")) == parent then
            children = children + 1 -- zombies included
        end
        if file then
            file:close()
        end
    end
    return fds, children
end

local function settle()
    repeat
        pool:map({ 1, 2 }, function()
            moonloop.sleep(0.01) -- so that each gets one, unless the second takes long to start
        end)
    until pool:stats().processes == 2
    return count()
end

local runs = tonumber(...)
local fds, children = settle()
moonloop.map({ 1, 2 }, function()
    for _ = 1, runs / 2 do
        local ok, err = pcall(pool.run, pool, function()
            require("posix.signal").kill(require("posix.unistd").getpid(), 9)
        end)
        assert(not ok and err.code == "crashed", tostring(err))
    end
end)
local fds_now, children_now = settle()
print(pool:stats().crashed, pool:stats().processes, fds_now - fds, children_now - children)
]]

describe("a thousand crashes", function()
    after_each(process.clean)

    it("leave neither descriptors nor zombies behind", function()
        local path = process.directory() .. "/crashes.lua"
        process.write(path, CRASHES)
        local count = server.is_sanitized and "100" or "1000" -- an ASan process takes 20 ms to start
        local done = process.run({ unistd.readlink("/proc/self/exe"), "run", path, count })
        assert.equal(count .. "\t2\t0\t0\n", done.out, done.err:sub(-2000))
        assert.matches("which ran .*crashes.lua:%d+, has ended: killed by SIGKILL", done.err)
    end)
end)

--- Prints how two jobs end: without descriptors that are free, then with.
local SCARCE = [[
local moonloop = require("moonloop")
local pool = moonloop.pool({ kind = "process", size = 1 })
local function job()
    return "ran"
end
local files, file = {}, nil
repeat
    file = io.open("/dev/null")
    files[#files + 1] = file
until not file
local _, err = pcall(pool.run, pool, job)
print(err.code, err.message)
for _, file in ipairs(files) do
    file:close()
end
print(pool:run(job))
]]

describe("a pool of processes that cannot start one", function()
    after_each(process.clean)

    it("says why, and starts one when it can", function()
        local path = process.directory() .. "/scarce.lua"
        process.write(path, SCARCE)
        local done = process.run({ "sh", "-c", 'ulimit -n 64; exec "$0" run "$1"', unistd.readlink("/proc/self/exe"),
            path })
        assert.equal("system\tcannot start a process: Too many open files\nran\n", done.out, done.err)
    end)
end)

describe("moonloop offload-process", function()
    after_each(process.clean)

    it("is refused when a person calls it, and is not in the help", function()
        local binary = unistd.readlink("/proc/self/exe")
        local called = process.run({ binary, "offload-process" })
        assert.equal(2, called.code)
        assert.matches("is started by moonloop itself", called.err, 1, true)
        local help = process.run({ binary, "help" })
        assert.is_nil(help.out:find("offload%-process"))
    end)
end)
