--- What a program holds in its hand: how it prints, and what is said of a method called with a dot.

local moonloop = require("moonloop")

local function message(fn, ...)
    local _, err = moonloop.try(fn, ...)
    return err and err.message
end

describe("a handle", function()
    it("prints as what it is and how it is", function()
        local t = moonloop.spawn("fetch", moonloop.sleep, 0)
        assert.equal("task fetch (ready)", tostring(t))
        t:wait()
        assert.equal("task fetch (done)", tostring(t))

        local channel = moonloop.channel(3, { name = "jobs" })
        channel:send(1)
        assert.equal("channel jobs (1 of 3 values)", tostring(channel))
        channel:close()
        assert.equal("channel jobs (1 of 3 values, closed)", tostring(channel))

        local semaphore, event = moonloop.semaphore(2), moonloop.event({ name = "start" })
        assert.equal("semaphore", tostring(semaphore))
        semaphore:acquire()
        local waiter = moonloop.spawn(semaphore.acquire, semaphore, 2)
        moonloop.sleep(0)
        assert.equal("semaphore (1 of 2 free, 1 wait)", tostring(semaphore))
        waiter:cancel()
        event:set()
        assert.equal("event start (set)", tostring(event))
        assert.equal("circuit breaker (closed)", tostring(moonloop.circuit_breaker()))
        assert.equal("cache (0 of 5 entries)", tostring(moonloop.cache({ size = 5 })))
        assert.equal("rate limiter (closed)", tostring((function()
            local limiter = moonloop.rate_limiter({ rate = 1 })
            limiter:close()
            return limiter
        end)()))
        assert.equal("barrier", tostring(moonloop.barrier(2)))
        assert.equal("mutex", tostring(moonloop.mutex()))
    end)

    it("prints what is outside of this VM, too", function()
        assert.equal("shared dictionary hits", tostring(moonloop.shared("hits")))
        assert.equal("topic chat", tostring(moonloop.topic("chat")))
        local subscription = moonloop.topic("chat"):subscribe()
        assert.equal("subscription to chat (0 queued)", tostring(subscription))
        subscription:close()
        assert.equal("subscription to chat (0 queued, closed)", tostring(subscription))
        local lock = moonloop.lock("printed")
        assert.equal("lock printed (held by this task)", lock:with(tostring, lock))
        assert.equal("pool printed (2 threads)", tostring(moonloop.pool({ name = "printed", size = 2 })))
        assert.equal("job (ready)", tostring(moonloop.pool():start(function() end)))
        local process = moonloop.process.spawn({ "true" })
        process:wait()
        assert.equal(("process %d (status 0)"):format(process.pid), tostring(process))
        local app = moonloop.app()
        assert.equal("timer beat (stopped)", tostring(app:every(60, print, { name = "beat" }):stop()))
    end)

    it("says that a method is called with a colon, at the caller's line", function()
        local here = debug.getinfo(1, "S").short_src:gsub("%p", "%%%0") .. ":%d+: "
        local channel, t = moonloop.channel(1), moonloop.spawn(print)
        t:cancel()
        local cases = {
            ["channel:recv"] = function() channel.recv() end,
            ["channel:send"] = function() channel.send(1) end,
            ["task:wait"] = function() t.wait() end,
            ["semaphore:with"] = function() moonloop.semaphore(1).with(print) end,
            ["dictionary:get"] = function() moonloop.shared("hits").get("key") end,
            ["lock:with"] = function() moonloop.lock("printed").with(print) end,
            ["pool:run"] = function() moonloop.pool().run(print) end,
            ["scope:spawn"] = function() moonloop.scope(function(scope) scope.spawn(print) end) end,
            ["timer:stop"] = function()
                local timer = moonloop.app():every(60, print):stop()
                timer.stop()
            end,
            ["cache:get"] = function() moonloop.cache().get("key") end,
        }
        for name, fn in pairs(cases) do
            local text = message(fn)
            assert.matches("^" .. here .. name .. ": got .* call it with a colon", text)
        end
    end)

    it("of a dictionary takes no fields, which nobody else would see", function()
        local hits = moonloop.shared("hits")
        assert.matches('shared dictionary hits: to keep a value, call set%("count", value%)',
            message(function() hits.count = 1 end))
    end)
end)

describe("what is given in the wrong shape", function()
    it("is answered with the right one", function()
        local t = moonloop.spawn(print)
        t:cancel()
        assert.matches("for a list use moonloop.map", message(moonloop.gather, { print }))
        assert.matches("for a task, give its wait", message(moonloop.gather, t))
        assert.matches("expected a list; this table has no entry 1", message(moonloop.map, { a = 1 }, print))
        assert.matches("map: expected a table of options, got a number", message(moonloop.map, { 1 }, print, 5))
        assert.matches("options come first", message(moonloop.scope, function() end, { deadline = 1 }))
        assert.matches("expected a table of options, got a number", message(moonloop.json.encode, {}, 1))
        assert.same({}, moonloop.map({}, print))
    end)
end)
