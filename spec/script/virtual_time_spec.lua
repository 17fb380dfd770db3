local clock = require("moonloop.clock")
local core = require("moonloop.core.task")
local http = require("moonloop.http")
local moonloop = require("moonloop")
local origin = require("spec.support.origin")
local process = require("spec.support.process")
local testing = require("moonloop.testing")

local virtual = testing.virtual

describe("virtual time", function()
    it("lets an hour pass at once, and gives what the function returns", function()
        local before = os.clock()
        local slept, value, missing, last = virtual(function()
            local began = moonloop.now()
            moonloop.sleep(3600)
            return moonloop.now() - began, "value", nil, 4
        end)
        assert.same({ 3600, "value", 4 }, { slept, value, last })
        assert.is_nil(missing)
        assert.is_true(os.clock() - before < 1)
    end)

    it("runs timers in order, each at its time exactly", function()
        local events = {}
        virtual(function()
            local began = moonloop.now()
            local function tick(name, seconds, times)
                for _ = 1, times do
                    moonloop.sleep(seconds)
                    events[#events + 1] = ("%s %g"):format(name, moonloop.now() - began)
                end
            end
            moonloop.gather(function() tick("a", 2, 3) end, function() tick("b", 1.5, 3) end)
        end)
        assert.same({ "b 1.5", "a 2", "b 3", "a 4", "b 4.5", "a 6" }, events)
    end)

    it("does not let time pass while code runs", function()
        virtual(function()
            local began = moonloop.now()
            local until_then = os.clock() + 0.01
            repeat until os.clock() > until_then -- luacheck: ignore 542
            assert.equal(began, moonloop.now())
            moonloop.sleep(0)
            assert.equal(began, moonloop.now())
        end)
    end)

    it("runs an hour of something every second in well under a second", function()
        local runs, before = 0, os.clock()
        virtual(function()
            moonloop.spawn(function()
                while true do
                    moonloop.sleep(1)
                    runs = runs + 1
                end
            end)
            moonloop.sleep(3600.5)
        end)
        assert.equal(3600, runs)
        assert.is_true(os.clock() - before < 5, "3600 timers took " .. os.clock() - before)
    end)

    it("begins the time of day where `start` says, and now without", function()
        local start = 1700000000.25
        virtual({ start = start }, function()
            assert.equal(start, clock.wall())
            moonloop.sleep(86400)
            assert.equal(start + 86400, clock.wall())
        end)
        assert.near(os.time(), clock.wall(), 2)
        assert.near(os.time(), virtual(clock.wall), 2)
        for _, wrong in ipairs({ -1, 0 / 0, math.huge }) do
            assert.error_matches(function() virtual({ start = wrong }, print) end, "start: expected Unix time")
        end
    end)

    it("strikes deadlines, nested ones and those from outside", function()
        local ok, err = pcall(virtual, function()
            moonloop.timeout(60, function()
                moonloop.timeout(3600, moonloop.sleep, 7200)
            end)
        end)
        assert.same({ false, "timeout" }, { ok, err.code })
        ok, err = pcall(moonloop.timeout, 60, virtual, function() moonloop.sleep(7200) end)
        assert.same({ false, "timeout" }, { ok, err.code })
    end)

    it("raises what the function raises, and the clock is real again", function()
        local before, wall = moonloop.now(), clock.wall()
        local ok, err = pcall(virtual, function()
            moonloop.sleep(86400)
            error("failed on purpose")
        end)
        assert.is_false(ok)
        assert.matches("virtual_time_spec.lua:%d+: failed on purpose", err.message)
        assert.is_true(moonloop.now() - before < 60)
        assert.is_true(clock.wall() - wall < 60)
        before = moonloop.now()
        moonloop.sleep(0.01)
        assert.is_true(moonloop.now() - before >= 0.01)
    end)

    it("cancels what was spawned and not waited for, and leaves nothing behind", function()
        collectgarbage()
        moonloop.sleep(0.001)
        local before, child = core.counts(), nil
        local cleaned
        virtual(function()
            child = moonloop.spawn(function()
                pcall(moonloop.sleep, 3600)
                moonloop.shield(moonloop.sleep, 3600) -- clean-up takes virtual time as well
                cleaned = moonloop.now()
                error("after the end", 0)
            end)
            moonloop.sleep(1)
        end)
        assert.is_truthy(cleaned)
        assert.is_truthy(child.state)
        local after = core.counts()
        assert.same({ before.tasks, before.timers, before.handles }, { after.tasks, after.timers, after.handles })
    end)

    it("takes part in what else sleeps in this process, and gives its rest back in the end", function()
        local began, woken = moonloop.now(), {}
        moonloop.scope(function(scope)
            scope:spawn(function() moonloop.sleep(30) woken[#woken + 1] = "the short one" end)
            scope:spawn(function() moonloop.sleep(60.05) woken[#woken + 1] = "the long one" end)
            moonloop.sleep(0)
            virtual(function()
                moonloop.sleep(60)
                woken[#woken + 1] = "the virtual one"
            end)
        end)
        assert.same({ "the short one", "the virtual one", "the long one" }, woken)
        assert.is_true(moonloop.now() - began < 20)
    end)

    it("cannot be nested, nor turned on by two", function()
        local ok, err = pcall(virtual, function() virtual(function() end) end)
        assert.same({ false, "misuse" }, { ok, err.code })
        assert.matches("virtual time is on already", err.message)
        ok, err = pcall(moonloop.gather, function() virtual(moonloop.sleep(60)) end,
            function() virtual(function() moonloop.sleep(60) end) end,
            function() virtual(function() moonloop.sleep(60) end) end)
        assert.is_false(ok)
        assert.matches("virtual", err.message)
        assert.equal("well", virtual(function() moonloop.sleep(60) return "well" end))
    end)

    it("raises deadlock when everything waits for ever, and says who waits where", function()
        local channel, other = moonloop.channel(), moonloop.event()
        local ok, err = pcall(virtual, function()
            moonloop.spawn("listener", function()
                moonloop.sleep(5)
                other:wait()
            end)
            moonloop.spawn("late one", function() moonloop.sleep(10) end) -- has ended by then
            channel:recv()
        end)
        assert.same({ false, "deadlock" }, { ok, err.code })
        assert.matches("everything waits, and neither a timer nor anything outside will end it:", err.message, 1, true)
        assert.equal(2, #err.waiting)
        assert.matches("^testing.virtual waits at .*virtual_time_spec.lua:%d+ in recv$", err.waiting[1])
        assert.matches("^listener waits at .*virtual_time_spec.lua:%d+ in wait$", err.waiting[2])
    end)

    it("ends a deadlock in clean-up as well", function()
        local events = {}
        local ok, err = pcall(virtual, function()
            local ended = moonloop.event()
            local helper = moonloop.spawn("helper", function()
                local _, first = pcall(ended.wait, ended)
                local _, second = pcall(moonloop.shield, ended.wait, ended)
                events = { first.code, second.code }
            end)
            helper:wait()
        end)
        assert.same({ false, "deadlock" }, { ok, err.code })
        assert.same({ "deadlock", "deadlock" }, events)
    end)

    it("refuses what it does not understand", function()
        local _, where = pcall(function() virtual(1) end)
        assert.matches("virtual_time_spec.lua:%d+: virtual: expected a function", where)
        _, where = pcall(function() virtual({ strat = 1 }, print) end)
        assert.matches("virtual_time_spec.lua:%d+: virtual: unknown option strat; did you mean start", where)
        assert.error_matches(function() virtual({ start = "now" }, print) end, "start: expected a number, got a string")
        local ok, err = pcall(moonloop.offload, function()
            return require("moonloop.testing").virtual(function() end)
        end)
        assert.same({ false, "misuse" }, { ok, err.code })
        assert.matches("it is for specs", err.message)
    end)
end)

describe("virtual time and what is real", function()
    after_each(process.clean)

    local function usleep(microseconds)
        local ffi = require("ffi")
        pcall(ffi.cdef, "int usleep(unsigned int);")
        ffi.C.usleep(microseconds)
        return "done"
    end

    it("waits for a thread before it jumps", function()
        local events = {}
        virtual(function()
            moonloop.gather(function()
                moonloop.sleep(600)
                events[#events + 1] = "slept"
            end, function()
                events[#events + 1] = moonloop.offload(usleep, 50000)
            end)
        end)
        assert.same({ "done", "slept" }, events)
    end)

    it("lets short timers strike while a thread works", function()
        local ok, err = pcall(virtual, function()
            moonloop.timeout(0.02, moonloop.offload, usleep, 300000)
        end)
        assert.same({ false, "timeout" }, { ok, err.code })
    end)

    it("waits for another server's answer before it jumps", function()
        local events, server = {}, origin.start()
        local answer = server:reply("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "keep", 1) -- a byte at a time
        virtual(function()
            moonloop.gather(function()
                moonloop.sleep(600)
                events[#events + 1] = "slept"
            end, function()
                events[#events + 1] = http.get(answer).status
            end)
        end)
        assert.same({ 200, "slept" }, events)
        server:stop()
    end)

    it("reaches into the apps of a testing client", function()
        local dir = process.directory() .. "/apps"
        process.write(dir .. "/slow.lua", [[
            local moonloop = require("moonloop")
            local app = moonloop.app()
            app:get("/{seconds:number}", { timeout = 7200 }, function(req)
                local began = moonloop.now()
                moonloop.sleep(req.params.seconds)
                return tostring(moonloop.now() - began)
            end)
            app:get("/late", function() moonloop.sleep(3600) end)
            app:get("/virtual", function()
                local ok, err = pcall(require("moonloop.testing").virtual, function() end)
                return err.message
            end)
            return app
        ]])
        local client = testing.client(dir)
        virtual(function()
            local began = moonloop.now()
            assert.equal("3600", client:get("/slow/3600", { timeout = 9000 }).text)
            assert.equal(3600, moonloop.now() - began)
            assert.same({ "10", "20" }, moonloop.map({ 10, 20 }, function(seconds)
                return client:get("/slow/" .. seconds).text
            end))
            assert.equal(504, client:get("/slow/late", { timeout = 60 }).status)
            local ok, err = pcall(client.get, client, "/slow/3600", { timeout = 5 })
            assert.same({ false, "timeout" }, { ok, err.code })
        end)
        assert.matches("a handler or a thread cannot change the server's clock", client:get("/slow/virtual").text)
        client:close()
    end)
end)

describe("a sleep", function()
    it("is never too short, however short it is", function()
        for i = 1, 30 do
            local seconds = 0.0001 * i + 0.00005
            local began = moonloop.now()
            moonloop.sleep(seconds)
            assert.is_true(moonloop.now() - began >= seconds, "a sleep of " .. seconds)
        end
    end)
end)
