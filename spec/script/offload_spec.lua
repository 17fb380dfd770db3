--- moonloop.offload, inside the runtime: `moonloop test spec/script/offload_spec.lua`.

local moonloop = require("moonloop")
local offload = moonloop.offload
local gates = require("spec.support.gate")
local stats = require("moonloop.offload").stats
local support = require("spec.support.tasks")

local block_until, failure, wait_until = gates.block_until, support.failure, support.eventually

describe("offload", function()
    it("gives what the function gives, nil in the middle and at the end included", function()
        local function pack(...)
            return { n = select("#", ...), ... }
        end
        assert.same({ n = 4, 1, nil, "x", nil }, pack(offload(function(a, b, c, d)
            return a, b, c, d
        end, 1, nil, "x", nil)))
        assert.same({ n = 0 }, pack(offload(function() end)))
    end)

    it("runs on another thread, while the loop goes on", function()
        local gate = gates.new()
        local task = moonloop.spawn(offload, function()
            block_until(gate)
            return "done"
        end)
        for _ = 1, 10 do
            moonloop.sleep(0.001)
        end
        assert.is_nil(task.state)
        io.open(gate, "w"):close()
        assert.equal("done", task:wait())
        os.remove(gate)
    end)

    it("copies arguments, upvalues and results", function()
        local list = { 1, 2, { deep = true } }
        local upvalue = { 1 }
        local result = offload(function(given)
            given[1] = 100
            upvalue[1] = 100
            return given
        end, list)
        assert.same({ 100, 2, { deep = true } }, result)
        assert.same({ 1, 2, { deep = true } }, list)
        assert.same({ 1 }, upvalue)
    end)

    it("keeps cycles, shared parts and metatables", function()
        local shared = { name = "shared" }
        local ring = setmetatable({ a = shared, b = shared }, { __index = { inherited = 7 } })
        ring.me = ring
        ring[shared] = "by table"
        local ok, copy = offload(function(r)
            return r.me == r and r.a == r.b and r.inherited == 7 and r[r.a] == "by table", r
        end, ring)
        assert.is_true(ok)
        assert.is_true(copy ~= ring and copy.me == copy and copy.a == copy.b and copy.inherited == 7)
    end)

    it("takes deep tables, 64-bit integers and JSON's null", function()
        local list, null = {}, moonloop.json.null
        for _ = 1, 5000 do
            list = { next = list }
        end
        local depth, big, is_null = offload(function(l, n)
            local count = 0
            while l.next do
                l, count = l.next, count + 1
            end
            return count, 2LL ^ 62 == 2 ^ 62 and 9007199254740993LL, n == moonloop.json.null
        end, list, null)
        assert.equal(5000, depth)
        assert.is_true(big == 9007199254740993LL)
        assert.is_true(is_null)
    end)

    it("takes functions as arguments and upvalues, with what they close over", function()
        local factor = 3
        local function times(x)
            return x * factor
        end
        local function factorial(n)
            return n <= 1 and 1 or n * factorial(n - 1)
        end
        assert.equal(21, offload(function(f, x)
            return f(times(x))
        end, function(x)
            return x + factor * 3
        end, 4))
        assert.equal(120, offload(factorial, 5))
        assert.equal(9, offload(function()
            return times
        end)(3))
    end)

    it("lets two functions that share a variable go on sharing it", function()
        local count = 0
        local function increment()
            count = count + 1
        end
        assert.equal(2, offload(function()
            increment()
            increment()
            return count
        end))
        assert.equal(0, count)
    end)

    it("gives each call the values of its own upvalues, also in compiled code", function()
        for value = 1, 200 do
            local upvalue = value
            local sum = offload(function()
                local total = 0
                for _ = 1, 100 do
                    total = total + upvalue
                end
                return total
            end)
            assert.equal(100 * value, sum)
        end
    end)

    it("sends modules, and functions of modules, by name", function()
        local floor, sleep, json = math.floor, moonloop.sleep, moonloop.json
        local concat = table.concat
        local text, is_same = offload(function(list)
            sleep(0)
            return json.encode({ floor(2.5) }) .. concat(list, "+"), moonloop == require("moonloop")
        end, { "a", "b" })
        assert.equal("[2]a+b", text)
        assert.is_true(is_same)
    end)

    it("refuses what cannot be sent, and names it", function()
        local file, co = io.stdout, coroutine.create(print)
        assert.matches("offload: upvalue 'file': cannot send a userdata to another VM",
            failure(offload, function() return file end), 1, true)
        assert.matches("offload: argument 2.rows[3]: cannot send a coroutine to another VM",
            failure(offload, print, 1, { rows = { 1, 2, co } }), 1, true)
        local function inner()
            return co
        end
        assert.matches("offload: upvalue 'inner', upvalue 'co': cannot send a coroutine to another VM",
            failure(offload, function() return inner() end), 1, true)
        assert.matches("argument 1: cannot send a C function to another VM",
            failure(offload, function() end, require("moonloop.core.task").sleep and (function()
                return string.gmatch("a", "a")
            end)()), 1, true)
        assert.matches("result 1: cannot send a userdata to another VM", failure(offload, function()
            return io.stdout
        end).message, 1, true)
        assert.matches("expected a function, got a nil", failure(offload), 1, true)
    end)

    it("names the way to what it refuses", function()
        local co = coroutine.create(print)
        local function why(...)
            return (failure(offload, ...):gsub("^.-offload: ", ""))
        end
        assert.equal("argument 2.callback[3]: cannot send a coroutine to another VM",
            why(print, 1, { callback = { 1, 2, co } }))
        local callbacks = { function()
            return co
        end }
        assert.equal("argument 1[1], upvalue 'co': cannot send a coroutine to another VM", why(print, callbacks))
        assert.equal("argument 1, key: cannot send a coroutine to another VM", why(print, { [co] = true }))
        assert.equal("argument 1, metatable.__index: cannot send a coroutine to another VM",
            why(print, setmetatable({}, { __index = co })))
        local ffi = require("ffi")
        ffi.cdef("struct offload_spec_point { int x, y; };")
        assert.equal("argument 1.at: cannot send a cdata value (struct offload_spec_point) to another VM",
            why(print, { at = ffi.new("struct offload_spec_point") }))
        assert.equal("argument 1.task: cannot send a moonloop.Task to another VM",
            why(print, { task = moonloop.spawn(function() end) }))
        assert.equal("argument 1: cannot send a moonloop.Channel to another VM", why(print, moonloop.channel(1)))
    end)

    it("refuses objects whose class says nothing of use", function()
        for _, answer in ipairs({ { "math" }, { 1, 2 }, { "math", "abs", print }, {} }) do
            local object = setmetatable({}, { __name = "Odd", __transfer = function()
                return unpack(answer)
            end })
            assert.matches("argument 1.x: cannot send a Odd to another VM: its __transfer has to give the names",
                failure(offload, print, { x = object }), 1, true)
        end
    end)

    it("takes functions in tables, functions that call each other, and metamethods", function()
        local is_odd
        local function is_even(n)
            return n == 0 or is_odd(n - 1)
        end
        function is_odd(n)
            return n ~= 0 and is_even(n - 1)
        end
        local actions = { list = { is_even, odd = is_odd }, self = false }
        actions.self = actions
        local sum = setmetatable({ 1, 2 }, {
            __call = function(self, more)
                return self[1] + self[2] + more
            end,
            __tostring = function(self)
                return "sum of " .. #self
            end,
        })
        assert.same({ true, true, true, 13, "sum of 2" }, { offload(function(a, s)
            return a.list[1](10), a.list.odd(7), a.self == a, s(10), tostring(s)
        end, actions, sum) })
    end)

    it("gives each job of a list its own copy of what they close over", function()
        local count = 0
        local function next_count()
            count = count + 1
            return count
        end
        assert.same({ 1, 1, 1 }, moonloop.offload_map({ 1, 2, 3 }, next_count))
        assert.equal(0, count)
    end)

    it("takes upvalues of upvalues, and gives them back", function()
        local function adder(a)
            local function of(b)
                return function(c)
                    return a + b + c
                end
            end
            return of(a * 10)
        end
        local add = adder(1)
        assert.equal(16, offload(function(x)
            return add(x)
        end, 5))
        local back = offload(function()
            return adder(2)
        end)
        assert.equal(27, back(5))
    end)

    it("takes big strings wherever they are", function()
        for _, bytes in ipairs({ 16383, 16384, 16385, 3000000 }) do
            local big, upvalue = ("a"):rep(bytes), ("b"):rep(bytes)
            local result, same, as_key, in_table = offload(function(text, list)
                return text .. upvalue, list[1] == text, list[text], { deep = { text } }
            end, big, { big, [big] = "key" })
            assert.is_true(result == big .. upvalue)
            assert.same({ true, "key" }, { same, as_key })
            assert.is_true(in_table.deep[1] == big)
            local err = failure(offload, function(text)
                error(text, 0)
            end, big)
            assert.is_true(err.message == big)
        end
        local list = {}
        for i = 1, 500 do
            list[i] = ("%05d"):format(i):rep(4000)
        end
        assert.same(list, offload(function(strings)
            return strings
        end, list))
    end)

    it("makes objects anew whose class says how", function()
        local path = os.tmpname()
        local name = path:match("[^/]+$")
        local file = io.open(path .. ".lua", "w")
        file:write(([[
local Money = { __name = "Money" }
Money.__index = Money
function Money:__transfer() return %q, "new", self.cents, { unit = "cent" } end
local M = {}
function M.new(cents, options) return setmetatable({ cents = cents, made = options }, Money) end
return M
]]):format(name))
        file:close()
        local before = package.path
        package.path = path:match("^(.*)/") .. "/?.lua;" .. before
        local money = require(name).new(5)
        local cents, unit, is_same, back = offload(function(list)
            return list[1].cents, list[1].made.unit, list[1] == list.again, list[1]
        end, { money, again = money })
        package.path = before
        os.remove(path)
        os.remove(path .. ".lua")
        assert.same({ 5, "cent", true, 5 }, { cents, unit, is_same, back.cents })
        assert.equal(getmetatable(money), getmetatable(back))
    end)

    it("raises what the job raised, with its code and the thread's traceback", function()
        local err = failure(offload, function()
            error("boom")
        end)
        assert.equal("error", err.code)
        assert.matches("offload_spec.lua:%d+: boom$", err.message)
        assert.matches("in function 'error'.*offload_spec.lua:.*offloaded at:.*offload_spec.lua", err.traceback)
        err = failure(offload, function()
            require("moonloop.util.errors").raise("mine", "number %d", 7)
        end)
        assert.equal("mine", err.code)
        assert.equal("number 7", tostring(err))
        assert.same({ plain = 1 }, failure(offload, function()
            error({ plain = 1 })
        end))
        err = failure(offload, function()
            error(io.stdout)
        end)
        assert.equal("an error value of type userdata", err.message)
    end)

    it("stops waiting at the caller's deadline and cancels the job at its next wait", function()
        local flag = gates.new()
        local err = failure(moonloop.timeout, 0.05, offload, function()
            local ok, reason = pcall(moonloop.sleep, 60)
            local file = io.open(flag, "w")
            file:write(ok and "slept" or reason.code)
            file:close()
        end)
        assert.equal("timeout", err.code)
        wait_until(function()
            return gates.is_open(flag)
        end)
        wait_until(function()
            return stats().busy == 0
        end)
        assert.equal("cancelled", io.open(flag):read("*a"))
        os.remove(flag)
    end)

    it("takes a job back that has not begun when its caller stops waiting", function()
        local gate, flag = gates.new(), gates.new()
        local tasks = {}
        for i = 1, stats().size do
            tasks[i] = moonloop.spawn(offload, block_until, gate)
        end
        wait_until(function()
            return stats().busy == #tasks and stats().waiting == 0
        end)
        local late = moonloop.spawn(offload, function()
            io.open(flag, "w"):close()
        end)
        wait_until(function()
            return stats().waiting == 1
        end)
        late:cancel()
        assert.equal("cancelled", failure(late.wait, late).code)
        assert.equal(0, stats().waiting)
        io.open(gate, "w"):close()
        for _, task in ipairs(tasks) do
            task:wait()
        end
        assert.is_false(gates.is_open(flag))
        os.remove(gate)
    end)

    it("raises full when a thousand jobs wait", function()
        local gate = gates.new()
        local tasks = {}
        for i = 1, stats().size do
            tasks[i] = moonloop.spawn(offload, block_until, gate)
        end
        wait_until(function()
            return stats().busy == stats().size and stats().waiting == 0
        end)
        for _ = 1, 1000 do
            tasks[#tasks + 1] = moonloop.spawn(offload, function() end)
        end
        wait_until(function()
            return stats().waiting == 1000
        end)
        local err = failure(offload, function() end)
        io.open(gate, "w"):close()
        for _, task in ipairs(tasks) do
            task:wait()
        end
        os.remove(gate)
        assert.equal("full", err.code)
        assert.matches("1000 jobs wait", err.message)
    end)

    it("lets everything that waits work on the thread", function()
        assert.same({ 1, 2, 3 }, offload(function()
            local tasks, results = {}, {}
            for i = 1, 3 do
                tasks[i] = moonloop.spawn(function()
                    moonloop.sleep(0.01)
                    return i
                end)
            end
            for i, task in ipairs(tasks) do
                results[i] = task:wait()
            end
            return results
        end))
        assert.equal("timeout", failure(offload, function()
            moonloop.timeout(0.01, moonloop.sleep, 5)
        end).code)
        assert.equal("inner", offload(function()
            return moonloop.offload(function()
                return "inner"
            end)
        end))
    end)

    it("has dictionaries, topics and locks there that are the same as here", function()
        local hits, lock = moonloop.shared("offload_spec"), moonloop.lock("offload_spec")
        hits:set("n", 1)
        assert.equal(2, offload(function()
            return hits:incr("n")
        end))
        assert.equal(2, hits:get("n"))
        lock:with(function()
            assert.equal("timeout", failure(moonloop.timeout, 0.02, offload, function()
                lock:with(print)
            end).code)
        end)
        assert.equal("free", offload(function()
            return lock:with(function()
                return "free"
            end)
        end))
        local subscription = moonloop.topic("offload_spec"):subscribe()
        local topic = moonloop.topic("offload_spec")
        offload(function()
            topic:publish("from a thread")
        end)
        assert.equal("from a thread", subscription:recv())
        subscription:close()
    end)

    it("has channels, semaphores and programs to start there", function()
        assert.equal("sent\n", offload(function()
            local channel, semaphore = moonloop.channel(1), moonloop.semaphore(1)
            moonloop.spawn(function()
                semaphore:with(function()
                    channel:send(moonloop.process.run({ "echo", "sent" }).stdout)
                end)
            end)
            return channel:recv()
        end))
    end)

    it("keeps modules loaded from job to job", function()
        local function loaded()
            local was = package.loaded["spec.support.counted"]
            package.loaded["spec.support.counted"] = true
            return was
        end
        for _ = 1, stats().size * 50 do
            if offload(loaded) then
                return
            end
        end
        error("no thread kept its modules")
    end)

    it("goes on after errors, in any number", function()
        for _ = 1, 200 do
            failure(offload, function()
                error("again")
            end)
        end
        assert.equal(3, offload(function(a, b)
            return a + b
        end, 1, 2))
    end)

    it("replaces a thread that a cancelled job does not leave", function()
        local gate, before = gates.new(), stats()
        local stuck = moonloop.spawn(offload, block_until, gate)
        wait_until(function()
            return stats().busy == 1
        end)
        stuck:cancel()
        wait_until(function()
            return stats().lost == 1
        end)
        assert.equal("fresh", offload(function()
            return "fresh"
        end))
        assert.equal(before.size, stats().size)
        io.open(gate, "w"):close()
        wait_until(function()
            return stats().lost == 0
        end)
        os.remove(gate)
    end)

    it("needs a task", function()
        local ok, err
        string.gsub("x", "x", function()
            ok, err = pcall(offload, function() end)
        end)
        assert.is_false(ok)
        assert.equal("misuse", err.code)
    end)
end)
