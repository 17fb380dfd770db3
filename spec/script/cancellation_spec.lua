--- What is cancelled gives back what it waited for, at once, and knows why it ended, where it waited and who ended it.

local core = require("moonloop.core.task")
local errors = require("moonloop.util.errors")
local http = require("moonloop.http")
local moonloop = require("moonloop")
local origin = require("spec.support.origin")
local leaks = require("spec.support.tasks")
local testing = require("moonloop.testing")

local HERE = "cancellation_spec%.lua:"

local function line()
    return debug.getinfo(2, "l").currentline
end

local function raised(fn, ...)
    local ok, err = pcall(fn, ...)
    assert.is_false(ok)
    return err
end

describe("what waits, when it is cancelled,", function()
    local server

    setup(function() server = origin.start() end)
    teardown(function() server:stop() end)

    local channel, full = moonloop.channel(), moonloop.channel(1)
    full:send("occupied")
    local event, mutex, semaphore = moonloop.event(), moonloop.mutex(), moonloop.semaphore(1)

    local waits = {
        { "sleep", function() moonloop.sleep(60) end },
        { "recv", function() channel:recv() end },
        { "send", function() full:send("more") end },
        { "wait", function() event:wait() end },
        { "lock", function() mutex:lock() end },
        { "acquire", function() semaphore:acquire() end },
        { "get", function() http.get(server.url .. "/hang") end },
        { "offload", function() moonloop.offload(function() require("moonloop").sleep(60) end) end },
        { "wait", function() moonloop.spawn(moonloop.sleep, 60):wait() end },
        { "sleep", function() coroutine.wrap(function() moonloop.sleep(60) end)() end },
    }
    for number, each in ipairs(waits) do
        local name, fn = each[1], each[2]
        it(("has released it, and knows the place: %s (%d)"):format(name, number), function()
            collectgarbage()
            semaphore:acquire()
            mutex:lock()
            local before = leaks.counts_at_rest()
            local began = debug.getinfo(fn, "S").linedefined
            local t = moonloop.spawn(fn)
            moonloop.sleep(0)
            assert.equal("waiting", t.status)
            t:cancel("not needed any more") local cancelled = line()
            moonloop.sleep(0)
            assert.equal("cancelled", t.status)
            assert.same({ "cancelled", "not needed any more" }, { t.err.code, t.err.message })
            assert.matches(HERE .. began .. " in " .. name .. "$", t.err.where)
            assert.matches(HERE .. cancelled .. "$", t.err.cancelled_at)
            local both = "^not needed any more %(waiting at .* in " .. name .. "; cancelled at .*%)$"
            assert.matches(both, tostring(t.err))
            assert.same({ 0, 0, 0 }, { channel.waiting or 0, event.waiting or 0, mutex.waiting or 0 })
            local after = core.counts()
            assert.equal(before.tasks, after.tasks)
            if name ~= "offload" then -- a thread that ends is looked after by a timer
                assert.equal(before.timers, after.timers)
            end
            semaphore:release()
            mutex:unlock()
            assert.is_true(semaphore:try_acquire())
            semaphore:release()
        end)
    end

    it("has closed its socket: the other end sees that at once", function()
        local t = moonloop.spawn(http.get, server.url .. "/hang")
        moonloop.spawn(function() moonloop.sleep(0.02) t:cancel() end)
        assert.equal("cancelled", raised(t.wait, t).code)
        -- Answered when the server has seen the connection end.
        assert.equal("gone", moonloop.timeout(5, http.get, server.url .. "/gone"):body())
    end)

    it("gives up its place in a queue to the next", function()
        local order, gate = {}, moonloop.semaphore(1)
        gate:acquire()
        local tasks = moonloop.map({ 1, 2, 3 }, function(number)
            return moonloop.spawn(function() end) and number
        end)
        assert.same({ 1, 2, 3 }, tasks)
        moonloop.scope(function(scope)
            local queued = {}
            for number = 1, 3 do
                queued[number] = scope:spawn(function()
                    gate:acquire()
                    order[#order + 1] = number
                    gate:release()
                end)
            end
            moonloop.sleep(0)
            queued[1]:cancel()
            gate:release()
        end)
        assert.same({ 2, 3 }, order)
    end)

    it("gives up its place in the queue for a connection", function()
        local client = http.client({ connections = 1 })
        local first = moonloop.spawn(client.get, client, server.url .. "/hang")
        moonloop.sleep(0.01)
        local queued = moonloop.spawn(client.get, client, server.url .. "/hang")
        local last = moonloop.spawn(client.get, client, server.url .. "/echo")
        moonloop.sleep(0)
        assert.equal(2, client:stats().waiting)
        queued:cancel()
        moonloop.sleep(0)
        assert.equal(1, client:stats().waiting)
        first:cancel()
        assert.equal(200, last:wait().status)
        assert.equal("gone", http.get(server.url .. "/gone"):body())
    end)

    it("knows the deadline that struck and where it was set", function()
        local set
        local err = raised(function()
            set = line() + 1
            moonloop.timeout(0.02, function()
                http.get(server.url .. "/hang")
            end)
        end)
        assert.same({ "timeout", "the deadline of 0.02 s has passed" }, { err.code, err.message })
        assert.matches(HERE .. (set + 1) .. " in get$", err.where)
        assert.matches(HERE .. set .. "$", err.cancelled_at)
        assert.matches("waiting at .*; set at .*" .. set .. "%)$", tostring(err))
        assert.matches("in function 'get'", err.traceback)
        assert.equal("gone", http.get(server.url .. "/gone"):body())
    end)
end)

describe("the reason of a cancellation", function()
    it("is one for all, the place is each one's own", function()
        testing.virtual(function()
            local tasks = {}
            local err = raised(moonloop.scope, function(scope)
                tasks[1] = scope:spawn(function() moonloop.sleep(60) end) tasks.first = line()
                tasks[2] = scope:spawn(function() moonloop.event():wait() end)
                scope:spawn(function() error("disk full", 0) end)
            end)
            assert.equal("disk full", err.message)
            for i, t in ipairs({ tasks[1], tasks[2] }) do
                assert.equal("another task of the same scope failed: disk full", t.err.message)
                assert.equal(err, t.err.cause)
                assert.matches(HERE .. tasks.first + i - 1 .. " in ", t.err.where)
            end
            assert.equal(tasks[1].err.reason, tasks[2].err.reason)
            assert.not_equal(tasks[1].err, tasks[2].err)
        end)
    end)

    it("names the place of the spawn where a tail call has left no other", function()
        local t = moonloop.spawn(function() return moonloop.sleep(60) end) local spawned = line()
        moonloop.sleep(0)
        t:cancel()
        local err = raised(t.wait, t)
        assert.matches("^what was spawned at .*" .. HERE .. spawned .. "$", err.where)
    end)

    it("names the place of the spawn in a scope, not that of the scope", function()
        local t, spawned
        moonloop.scope(function(s)
            t = s:spawn(function() return moonloop.sleep(60) end) spawned = line()
            moonloop.sleep(0)
            t:cancel()
        end)
        assert.matches("^what was spawned at .*" .. HERE .. spawned .. "$", raised(t.wait, t).where)
    end)

    it("is told to one that had not begun, and to each wait that is not begun any more", function()
        local t = moonloop.spawn(moonloop.sleep, 60) local spawned = line()
        t:cancel()
        assert.matches(HERE .. spawned .. " before it began$", raised(t.wait, t).where)
        local places = {}
        t = moonloop.spawn(function()
            places[1] = raised(function() moonloop.sleep(60) end).where
            places[2] = raised(function() moonloop.channel():recv() end).where
        end)
        moonloop.sleep(0)
        t:cancel()
        pcall(t.wait, t)
        assert.matches("in sleep$", places[1])
        assert.matches("in recv$", places[2])
    end)

    it("may be an error object, which becomes the cause", function()
        local cause = errors.new("limited", "too many at once")
        local t = moonloop.spawn(moonloop.sleep, 60)
        moonloop.sleep(0)
        t:cancel(cause)
        local err = raised(t.wait, t)
        assert.same({ "cancelled", "too many at once" }, { err.code, err.message })
        assert.equal(cause, err.cause)
    end)

    it("has to be a text or an error object", function()
        local t = moonloop.spawn(function() end)
        for _, wrong in ipairs({ 5, {}, print, false }) do
            assert.matches(HERE .. "%d+: cancel: expected a text or an error object", raised(function()
                t:cancel(wrong)
            end))
            moonloop.scope(function(scope)
                assert.matches(HERE .. "%d+: scope:cancel: expected a text", raised(function() scope:cancel(wrong) end))
            end)
        end
        t:wait()
    end)

    it("stays the first one, however often it is cancelled, also in its clean-up", function()
        local t
        t = moonloop.spawn(function()
            local err = raised(moonloop.sleep, 60)
            moonloop.shield(function()
                t:cancel("third")
                moonloop.sleep(0)
            end)
            error(err, 0)
        end)
        moonloop.sleep(0)
        t:cancel("first")
        t:cancel("second")
        assert.equal("first", raised(t.wait, t).message)
        assert.equal("cancelled", t.status)
        t:cancel("after the end")
        assert.equal("first", t.err.message)
        local done = moonloop.spawn(function() return 5 end)
        assert.equal(5, done:wait())
        done:cancel()
        assert.same({ 5, "done" }, { done:wait(), done.status })
    end)
end)

describe("a failure in clean-up", function()
    local function failing_cleanup(text)
        return function()
            pcall(moonloop.sleep, 60)
            error(text, 0)
        end
    end

    it("hangs on the failure that was first", function()
        testing.virtual(function()
            local err = raised(moonloop.scope, function(scope)
                scope:spawn(failing_cleanup("cannot remove the file"))
                scope:spawn(function() moonloop.sleep(1) error("first", 0) end)
                failing_cleanup("cannot close")()
            end)
            assert.equal("first", err.message)
            local others = {}
            for _, other in ipairs(err.others) do
                others[other.message] = true
            end
            assert.same({ ["cannot remove the file"] = true, ["cannot close"] = true }, others)
        end)
    end)

    it("hangs on the deadline that struck", function()
        testing.virtual(function()
            local err = raised(moonloop.scope, { deadline = 5 }, function(scope)
                scope:spawn(failing_cleanup("cannot remove the file"))
                moonloop.sleep(60)
            end)
            assert.same({ "timeout", "cannot remove the file" }, { err.code, err.others[1].message })
            assert.is_nil(err.others[2])
        end)
    end)

    it("hangs on what the body raised", function()
        testing.virtual(function()
            local err = raised(moonloop.scope, function(scope)
                scope:spawn(failing_cleanup("cannot remove the file"))
                moonloop.sleep(0)
                error("body", 0)
            end)
            assert.same({ "body", "cannot remove the file" }, { err.message, err.others[1].message })
        end)
    end)

    it("is raised when the scope was cancelled on purpose", function()
        testing.virtual(function()
            local err = raised(moonloop.scope, function(scope)
                scope:spawn(failing_cleanup("one"))
                scope:spawn(failing_cleanup("two"))
                moonloop.sleep(0)
                scope:cancel()
            end)
            assert.same({ "one", "two" }, { err.message, err.others[1].message })
        end)
    end)

    it("inside a shield is what is raised, and leaves nothing behind", function()
        local before = core.counts()
        testing.virtual(function()
            local err = raised(moonloop.timeout, 5, function()
                local ok = pcall(moonloop.sleep, 60)
                moonloop.shield(function()
                    moonloop.spawn(moonloop.sleep, 60)
                    moonloop.sleep(0)
                    error("cannot clean up", 0)
                end)
                assert(not ok)
            end)
            assert.equal("cannot clean up", err.message)
        end)
        local after = core.counts()
        assert.same({ before.tasks, before.timers }, { after.tasks, after.timers })
    end)
end)

describe("a time that is none", function()
    it("is refused with the place, the function and what was given", function()
        local calls = {
            sleep = function(bad) moonloop.sleep(bad) end,
            timeout = function(bad) moonloop.timeout(bad, print) end,
            scope = function(bad) moonloop.scope({ deadline = bad }, print) end,
            map = function(bad) moonloop.map({ 1 }, print, { deadline = bad }) end,
        }
        for name, call in pairs(calls) do
            local wrong = { [-1] = "-1", [math.huge] = "inf", ["5"] = "a string", [{}] = "a table", [4e7] = "40000000" }
            for bad, shown in pairs(wrong) do
                local err = raised(call, bad)
                assert.equal("misuse", err.code)
                assert.matches("^spec/script/" .. HERE .. "%d+: ", err.message)
                local message = ("%s: expected 0 to 31622400 seconds, got %s"):format(name, shown)
                assert.matches(message, err.message, 1, true)
            end
            assert.matches("seconds, got nan$", raised(call, 0 / 0).message)
        end
        assert.matches("seconds, got nil$", raised(moonloop.sleep, nil).message)
        assert.matches("timeout: expected seconds and a function", raised(moonloop.timeout))
    end)
end)
