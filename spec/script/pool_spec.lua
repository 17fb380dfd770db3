--- moonloop.pool, inside the runtime: `moonloop test spec/script/pool_spec.lua`.

local activity = require("moonloop.activity")
local core = require("moonloop.core.task")
local gates = require("spec.support.gate")
local moonloop = require("moonloop")
local support = require("spec.support.tasks")

local block_until, failure, wait_until = gates.block_until, support.failure, support.eventually

local pools = {} -- to be closed

local function new_pool(options)
    local pool = moonloop.pool(options)
    pools[#pools + 1] = pool
    return pool
end

local function threads()
    for line in io.lines("/proc/self/status") do
        local count = line:match("^Threads:%s*(%d+)")
        if count then
            return tonumber(count)
        end
    end
end

--- Fills a pool of one thread; answers how to let it go on.
local function occupy(pool)
    local gate = gates.new()
    local task = moonloop.spawn(pool.run, pool, block_until, gate)
    wait_until(function()
        return pool:stats().busy == 1
    end)
    return function()
        gates.open(gate)
        task:wait()
        os.remove(gate)
    end
end

local function add(a, b)
    return a + b
end

describe("a pool", function()
    after_each(function()
        for i = #pools, 1, -1 do
            pools[i]:close()
            pools[i] = nil
        end
    end)

    it("runs functions as offload does, on as many threads as it has", function()
        local pool = new_pool({ size = 2 })
        assert.equal(3, pool:run(add, 1, 2))
        assert.equal("boom", failure(pool.run, pool, function()
            error("boom", 0)
        end).message)
        assert.same({ 11, 22, 33 }, pool:map({ 10, 20, 30 }, add))
        local stats = pool:stats()
        assert.same({ "thread", 2, 1000 }, { stats.kind, stats.size, stats.queue })
        assert.same({ 5, 1, 0, 0, 0 }, { stats.jobs, stats.failed, stats.crashed, stats.busy, stats.waiting })
        assert.is_true(stats.threads <= 2)
    end)

    it("says how long jobs waited and ran", function()
        local pool = new_pool({ size = 1 })
        pool:run(moonloop.sleep, 0.02)
        pool:run(add, 1, 2)
        local stats = pool:stats()
        assert.is_true(stats.run_max >= 0.019 and stats.run_max <= stats.run_total, stats.run_max)
        assert.equal(stats.run_total / 2, stats.run_mean)
        assert.is_true(stats.wait_max > 0 and stats.wait_max <= stats.wait_total)
        assert.equal(stats.wait_total / 2, stats.wait_mean)
    end)

    it("raises full when as many wait as may, and takes more once there is room", function()
        local pool = new_pool({ size = 1, queue = 1, name = "narrow" })
        local release = occupy(pool)
        local waiting = moonloop.spawn(pool.run, pool, add, 1, 1)
        wait_until(function()
            return pool:stats().waiting == 1
        end)
        local err = failure(pool.run, pool, add, 1, 2)
        release()
        assert.equal("full", err.code)
        assert.equal("1 jobs wait for a thread of pool narrow already, 1 run", err.message)
        assert.equal(2, waiting:wait())
        assert.equal(3, pool:run(add, 1, 2))
    end)

    it("runs jobs one by one with a queue of 0", function()
        local pool = new_pool({ size = 1, queue = 0 })
        assert.equal(3, pool:run(add, 1, 2))
        assert.equal(3, pool:run(add, 1, 2))
        local release = occupy(pool)
        assert.equal("full", failure(pool.run, pool, add, 1, 2).code)
        release()
    end)

    it("maps a list of any length, as many at a time as it has threads", function()
        local pool = new_pool({ size = 2, queue = 0 })
        local list = {}
        for i = 1, 100 do
            list[i] = i
        end
        local results = pool:map(list, function(item)
            return item * item
        end)
        assert.equal(100, #results)
        assert.equal(10000, results[100])
        local settled = pool:map({ 1, 2 }, function(item)
            return item == 1 and "good" or error("bad", 0)
        end, { settle = true, limit = 1 })
        assert.same({ true, "good" }, { settled[1].ok, settled[1].value })
        assert.same({ false, "bad" }, { settled[2].ok, settled[2].err.message })
        assert.equal("timeout", failure(pool.map, pool, { 30 }, moonloop.sleep, { deadline = 0.01 }).code)
        assert.matches("^spec/script/pool_spec.lua:%d+: map: unknown option", failure(function()
            pool:map({}, add, { limits = 1 })
        end))
    end)

    it("is one pool for all who ask for a name, with the same options", function()
        local pool = new_pool({ name = "render", size = 2, queue = 7 })
        assert.equal(pool, moonloop.pool({ name = "render" }))
        assert.equal(pool, moonloop.pool({ name = "render", size = 2, kind = "thread" }))
        assert.matches('pool_spec.lua:%d+: pool "render" has queue = 7 already, not 8$', failure(function()
            moonloop.pool({ name = "render", queue = 8 })
        end))
        pool:close()
        local other = new_pool({ name = "render", queue = 8 })
        assert.equal(8, other:stats().queue)
    end)

    it("is another one each time without a name", function()
        assert.are_not.equal(new_pool({}), new_pool({}))
    end)

    it("is that of offload without options", function()
        local before = moonloop.pool():stats().jobs
        moonloop.offload(add, 1, 2)
        assert.equal(before + 1, moonloop.pool():stats().jobs)
        assert.same({ 3, 5 }, moonloop.offload_map({ 2, 3 }, add))
    end)

    it("refuses options that mean nothing, with the place", function()
        local cases = {
            { { sise = 2 }, "unknown option sise; did you mean size?" },
            { { kind = "fibre" }, 'kind: expected "thread" or "process", got "fibre"' },
            { { size = 0 }, "size: expected an integer from 1 to 1024, got 0" },
            { { size = 1.5 }, "size: expected an integer from 1 to 1024, got 1.5" },
            { { size = 0 / 0 }, "size: expected an integer from 1 to 1024, got nan" },
            { { queue = -1 }, "queue: expected an integer from 0 to 1000000, got -1" },
            { { progress = "many" }, "progress: expected a number, got a string" },
            { { name = "" }, "name: expected a string of 1 to 64 bytes" },
            { "render", "expected a table of options, got a string" },
        }
        for _, case in ipairs(cases) do
            local err = failure(function()
                moonloop.pool(case[1])
            end)
            assert.matches("^spec/script/pool_spec.lua:%d+: pool: ", err)
            assert.matches(case[2], (err:gsub("-nan", "nan")), 1, true)
        end
        local pool = new_pool({})
        assert.matches("pool_spec.lua:%d+: pool:run: expected a function, got a number", failure(function()
            pool:run(7)
        end))
        local err = failure(function()
            pool:run(add, io.stdout)
        end)
        assert.matches("pool_spec.lua:%d+: pool:run: argument 1: cannot send a userdata to another VM", err)
    end)

    it("finishes what it was given when it is closed, then ends its threads", function()
        local before, handles = threads(), core.counts().handles
        local pool = moonloop.pool({ size = 1 })
        local release = occupy(pool)
        local waiting = moonloop.spawn(pool.run, pool, add, 1, 1)
        wait_until(function()
            return pool:stats().waiting == 1
        end)
        pool:close()
        pool:close()
        assert.equal("closed", failure(pool.run, pool, add, 1, 2).code)
        assert.equal("closed", failure(pool.stats, pool).code)
        release()
        assert.equal(2, waiting:wait())
        wait_until(function()
            return threads() <= before
        end)
        assert.equal(handles, core.counts().handles)
    end)

    it("ends with its variable, but not before its jobs", function()
        local before = threads()
        assert.equal("slept", moonloop.pool({ size = 3 }):run(function()
            moonloop.sleep(0.01)
            return "slept"
        end))
        wait_until(function()
            collectgarbage()
            return threads() <= before
        end)
    end)

    it("does not wait for a thread that never comes back", function()
        local before, gate = threads(), gates.new()
        local pool = moonloop.pool({ size = 1 })
        local task = moonloop.spawn(pool.run, pool, block_until, gate)
        wait_until(function()
            return pool:stats().busy == 1
        end)
        pool:close()
        task:cancel()
        assert.equal("cancelled", failure(task.wait, task).code)
        gates.open(gate)
        wait_until(function()
            return threads() <= before
        end)
        os.remove(gate)
    end)

    it("is listed among what is under way", function()
        local pool = new_pool({ size = 2, name = "shown" })
        pool:run(add, 1, 2)
        local found
        for _, row in ipairs(activity.list()) do
            found = row.kind == "pool" and row.name == "shown" and row or found
        end
        assert.equal(1, found.runs)
        assert.equal("kind thread, 0 of 2 busy, 0 of 1000 waiting, 0 failed", found.detail)
    end)

    it("is there on its own threads: jobs run where they are", function()
        local pool = new_pool({ size = 1, name = "nested" })
        local sum, same = pool:run(function()
            local total = 0
            for _, value in ipairs(pool:map({ 1, 2, 3 }, function(item)
                return item * 2
            end)) do
                total = total + value
            end
            return total, pool == moonloop.pool({ name = "nested" })
        end)
        assert.equal(12, sum)
        assert.is_true(same)
    end)
end)

describe("a job that was started", function()
    local pool

    before_each(function()
        pool = moonloop.pool({ size = 1, progress = 8 })
    end)
    after_each(function()
        pool:close()
    end)

    local function count_to(n)
        for i = 1, n do
            moonloop.progress(i, "of " .. n)
        end
        return "counted"
    end

    it("sends values ahead, in order, then its result", function()
        local job = pool:start(count_to, 5)
        local seen = {}
        for value, text in job:progress() do
            seen[#seen + 1] = value .. " " .. text
        end
        assert.same({ "1 of 5", "2 of 5", "3 of 5", "4 of 5", "5 of 5" }, seen)
        assert.equal("counted", job:wait())
        assert.same({ "done", 0 }, { job.status, job.dropped })
    end)

    it("sends each value when it is there, not at the end", function()
        local gate = gates.new()
        local job = pool:start(function(path)
            moonloop.progress("begun")
            block_until(path)
            moonloop.progress("done")
        end, gate)
        local values = job:progress()
        assert.equal("begun", values())
        assert.equal("waiting", job.status)
        gates.open(gate)
        assert.equal("done", values())
        assert.is_nil(values())
        job:wait()
        os.remove(gate)
    end)

    it("never waits for its reader: the oldest unread values make room", function()
        local job = pool:start(count_to, 1000)
        assert.equal("counted", job:wait())
        local seen = {}
        for value in job:progress() do
            seen[#seen + 1] = value
        end
        assert.same({ 993, 994, 995, 996, 997, 998, 999, 1000 }, seen)
        assert.equal(992, job.dropped)
    end)

    it("takes tables and big strings as values, and refuses what cannot be sent", function()
        local job = pool:start(function()
            moonloop.progress({ list = { 1, 2 }, text = ("x"):rep(100000) })
            moonloop.progress(1, { io.stdout })
        end)
        local values = job:progress()
        local value = values()
        assert.same({ 1, 2 }, value.list)
        assert.equal(100000, #value.text)
        assert.is_nil(values())
        assert.matches("progress: value 2[1]: cannot send a userdata", failure(job.wait, job).message, 1, true)
        job = pool:start(function()
            moonloop.progress(nil)
        end)
        assert.matches("progress: expected a value, got nil", failure(job.wait, job).message)
    end)

    it("raises what the function raised, after the values before it", function()
        local job = pool:start(function()
            moonloop.progress("half")
            error("broken", 0)
        end)
        local values = job:progress()
        assert.equal("half", values())
        assert.is_nil(values())
        assert.equal("broken", failure(job.wait, job).message)
        assert.equal("failed", job.status)
    end)

    it("ends at its next wait when it is cancelled, and so does reading it", function()
        local flag = gates.new()
        local job = pool:start(function(path)
            moonloop.progress("asleep")
            local _, err = pcall(moonloop.sleep, 60)
            local file = io.open(path, "w")
            file:write(err.code)
            file:close()
        end, flag)
        local values = job:progress()
        assert.equal("asleep", values())
        job:cancel()
        assert.is_nil(values())
        assert.equal("cancelled", failure(job.wait, job).code)
        wait_until(function()
            return pool:stats().busy == 0
        end)
        assert.equal("cancelled", io.open(flag):read("*a"))
        os.remove(flag)
    end)

    it("ends for its reader when it is cancelled before it began", function()
        local job = pool:start(count_to, 5)
        job:cancel()
        assert.is_nil(job:progress()())
        assert.equal("cancelled", failure(job.wait, job).code)
    end)

    it("ends for its reader when it could not be sent", function()
        local job = pool:start(function() end, io.stdout)
        assert.is_nil(job:progress()())
        assert.matches("argument 1: cannot send a userdata", failure(job.wait, job).message)
    end)

    it("is cancelled with the scope that it was started in", function()
        local err = failure(moonloop.scope, { deadline = 0.02 }, function()
            pool:start(moonloop.sleep, 60)
        end)
        assert.equal("timeout", err.code)
        wait_until(function()
            return pool:stats().busy == 0
        end)
    end)

    it("has one reader at a time, whose own wait can be cancelled", function()
        local gate = gates.new()
        local job = pool:start(function(path)
            block_until(path)
            moonloop.progress("late")
        end, gate)
        local first = moonloop.spawn(job:progress())
        wait_until(function()
            return first.status == "waiting" and pool:stats().busy == 1
        end)
        assert.equal("misuse", failure(job:progress()).code)
        first:cancel()
        assert.equal("cancelled", failure(first.wait, first).code)
        gates.open(gate)
        assert.equal("late", job:progress()())
        job:wait()
        os.remove(gate)
    end)

    it("may be forgotten", function()
        for _ = 1, 20 do
            pool:start(count_to, 20)
        end
        moonloop.sleep(0)
        collectgarbage()
        collectgarbage()
        assert.equal(3, pool:run(add, 1, 2))
    end)

    it("reports to nobody elsewhere", function()
        assert.is_false(moonloop.progress(1))
        assert.is_false(pool:run(function()
            return moonloop.progress(1)
        end))
    end)

    it("reports to nobody once it has ended where it is, whoever runs in its place", function()
        assert.is_false(pool:run(function()
            moonloop.pool():start(function() end):wait()
            return moonloop.spawn(function()
                return moonloop.progress("late")
            end):wait()
        end))
    end)

    it("works on a thread as well, where it is", function()
        local seen, dropped = pool:run(function()
            local inner = moonloop.pool({ progress = 2 }):start(function()
                for i = 1, 3 do
                    moonloop.progress(i)
                end
            end)
            inner:wait()
            local list = {}
            for value in inner:progress() do
                list[#list + 1] = value
            end
            return list, inner.dropped
        end)
        assert.same({ 2, 3 }, seen)
        assert.equal(1, dropped)
    end)
end)

describe("pools that are used at random", function()
    --- One job or one list, left in one of many ways.
    local function use(pool, dice)
        local job = pool:start(function(n)
            for i = 1, n do
                moonloop.progress(i, ("x"):rep(i * 1000))
                if i % 3 == 0 then
                    moonloop.sleep(0.0005)
                end
            end
            if n == 13 then
                error("thirteen", 0)
            end
            return n
        end, dice(20))
        if dice(3) == 1 then
            job:progress()()
        end
        if dice(3) == 1 then
            job:cancel()
        elseif dice(3) == 1 then
            moonloop.sleep(dice(4) / 2000)
            job:cancel()
        end
        if dice(2) == 1 then
            for _ in job:progress() do
                if dice(5) == 1 then
                    break
                end
            end
        end
        job:wait()
    end

    it("leave no thread, task, handle or job behind", function()
        local before, counts = threads(), core.counts()
        math.randomseed(7)
        for _ = 1, 10 do
            local pool = moonloop.pool({
                size = math.random(1, 4), queue = math.random(0, 10), progress = math.random(1, 9),
            })
            local tasks = {}
            for i = 1, 30 do
                tasks[i] = moonloop.spawn(pcall, moonloop.timeout, math.random(1, 30) / 1000, use, pool, math.random)
            end
            for _, task in ipairs(tasks) do
                task:wait()
            end
            wait_until(function()
                return pool:stats().busy + pool:stats().waiting == 0
            end)
            if math.random(2) == 1 then
                pool:close()
            end
        end
        wait_until(function()
            collectgarbage()
            return threads() <= before
        end)
        local after = core.counts()
        assert.same({ counts.tasks, counts.handles, counts.timers }, { after.tasks, after.handles, after.timers })
    end)
end)
