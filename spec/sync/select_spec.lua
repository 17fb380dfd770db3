--- select: the first of several.

local moonloop = require("moonloop")
local tasks = require("spec.support.tasks")

local raised, until_true = tasks.raised, tasks.until_true

local function results(...)
    return { n = select("#", ...), ... }
end

describe("select", function()
    local check_leaks

    before_each(function() check_leaks = tasks.leak_check() end)
    after_each(function() check_leaks() end)

    it("takes what is ready, and nothing else", function()
        local a, b = moonloop.channel(1), moonloop.channel(1)
        b:send("from b")
        assert.same({ n = 2, "b", "from b" }, results(moonloop.select({ a = a, b = b })))
        assert.equal("default", moonloop.select({ a = a, b = b, default = true }))
        a:send("from a")
        assert.same({ n = 2, "a", "from a" }, results(moonloop.select({ a = { a, "recv" }, b = b, default = true })))
        assert.same({ n = 2, "b", nil }, results(moonloop.select({ a = a, b = { b, "send", 5 } })))
        assert.equal(5, b:recv())
        assert.equal(0, a.length)
    end)

    it("waits for a value, room, an event, a permit, or the end of a task", function()
        local input, output = moonloop.channel(), moonloop.channel()
        local event, semaphore = moonloop.event(), moonloop.semaphore(1)
        semaphore:acquire()
        local worker = moonloop.spawn(function() event:wait() return "done" end)
        local function all()
            return moonloop.select({
                input = input, [output] = { output, "send", "out" }, event = event, permit = semaphore, worker = worker,
            })
        end
        local function one(fn)
            local t = moonloop.spawn(all)
            until_true(function() return input.waiting == 1 and output.waiting == 1 and semaphore.waiting == 1 end)
            fn()
            local got = results(t:wait())
            assert.equal(0, input.waiting + output.waiting + semaphore.waiting)
            return got
        end
        assert.same({ n = 2, "input", "in" }, one(function() input:send("in") end))
        assert.same({ n = 2, output, nil }, one(function() assert.equal("out", output:recv()) end))
        assert.same({ n = 2, "permit", nil }, one(function() semaphore:release() end))
        assert.equal(0, semaphore.available)
        assert.same({ n = 2, "event", 7 }, one(function() event:set(7) end))
        worker:wait()
        event:clear()
        assert.same({ n = 2, "worker", "done" }, results(all()))
    end)

    it("gives a channel that is closed and empty as nil", function()
        local channel = moonloop.channel(1)
        channel:send(1)
        channel:close()
        assert.same({ n = 2, "c", 1 }, results(moonloop.select({ c = channel })))
        assert.same({ n = 2, "c", nil }, results(moonloop.select({ c = channel })))
        local other = moonloop.channel()
        local t = moonloop.spawn(moonloop.select, { c = other })
        until_true(function() return other.waiting == 1 end)
        other:close()
        assert.same({ n = 2, "c", nil }, results(t:wait()))
    end)

    it("raises `closed` for sending on a closed channel and for a closed event", function()
        local channel, event = moonloop.channel(), moonloop.event()
        local sender = moonloop.spawn(moonloop.select, { c = { channel, "send", 1 } })
        local waiter = moonloop.spawn(moonloop.select, { e = event, c = { channel, "send", 2 } })
        until_true(function() return event.waiting == 1 and channel.sending == 2 end)
        event:close()
        assert.equal("closed", select(2, raised(waiter.wait, waiter)))
        assert.equal(1, channel.sending)
        channel:close()
        assert.equal("closed", select(2, raised(sender.wait, sender)))
        assert.equal("closed", select(2, raised(moonloop.select, { c = { channel, "send", 1 } })))
        assert.equal("closed", select(2, raised(moonloop.select, { e = event })))
    end)

    it("raises what the task raised", function()
        local failing = moonloop.spawn(function() moonloop.sleep(0) error("boom", 0) end)
        assert.equal("boom", raised(moonloop.select, { t = failing, c = moonloop.channel() }))
        assert.equal("boom", raised(moonloop.select, { t = failing }))
    end)

    it("refuses to wait for nothing but the task that it runs in", function()
        local t
        t = moonloop.spawn(function() return moonloop.select({ me = t }) end)
        local text, code = raised(t.wait, t)
        assert.equal("deadlock", code)
        assert.matches("waits for itself", text)
    end)

    it("gives `timeout` when nothing was ready in time, and is out of every queue then", function()
        local channel = moonloop.channel()
        assert.same({ n = 1, "timeout" },
            results(moonloop.select({ a = channel, b = { channel, "send", 1 }, timeout = 0.002 })))
        assert.equal(0, channel.waiting)
        assert.equal("timeout", moonloop.select({ timeout = 0 }))
    end)

    it("is cancelled like any wait, and what it offered can be offered again", function()
        local a, b = moonloop.channel(), moonloop.channel()
        local t = moonloop.spawn(moonloop.select, { a = a, b = { b, "send", 1 } })
        until_true(function() return a.waiting == 1 end)
        t:cancel()
        assert.equal(0, a.waiting + b.waiting)
        assert.equal("cancelled", select(2, raised(t.wait, t)))
        assert.is_false(a:try_send(1))
        assert.is_nil(b:try_recv())
    end)

    it("keeps what it was woken with when it is cancelled then", function()
        local a, got = moonloop.channel(), nil
        local t = moonloop.spawn(function() got = results(moonloop.select({ a = a, b = moonloop.event() })) end)
        until_true(function() return a.waiting == 1 end)
        a:send("kept")
        t:cancel()
        pcall(t.wait, t)
        assert.same({ n = 2, "a", "kept" }, got)
    end)

    it("can meet another select on the other side", function()
        local channel = moonloop.channel()
        local sender = moonloop.spawn(moonloop.select, { s = { channel, "send", "hi" }, e = moonloop.event() })
        assert.same({ n = 2, "r", "hi" }, results(moonloop.select({ r = channel, e = moonloop.event() })))
        assert.equal("s", (sender:wait()))
    end)

    it("gives each one that is ready the same chance", function()
        require("moonloop.sync.chance").seed(1)
        local cases, counts = {}, { 0, 0, 0, 0 }
        for i = 1, 4 do
            local event = moonloop.event()
            event:set()
            cases[i] = event
        end
        for _ = 1, 4000 do
            local which = moonloop.select(cases)
            counts[which] = counts[which] + 1
        end
        for i = 1, 4 do
            assert.is_true(counts[i] > 850 and counts[i] < 1150, table.concat(counts, " "))
        end
    end)

    it("serves those who wait in their order, whether they select or not", function()
        local channel, order = moonloop.channel(), {}
        local function note(name, value)
            order[#order + 1] = name .. value
        end
        moonloop.scope(function(scope)
            scope:spawn(function() note("a", select(2, moonloop.select({ channel, moonloop.event() }))) end)
            scope:spawn(function() note("b", channel:recv()) end)
            scope:spawn(function() note("c", select(2, moonloop.select({ channel }))) end)
            until_true(function() return channel.receiving == 3 end)
            for i = 1, 3 do
                channel:send(i)
            end
        end)
        assert.same({ "a1", "b2", "c3" }, order)
    end)

    it("waits in very many queues", function()
        local cases = {}
        for i = 1, 125 do
            cases[i] = moonloop.channel()
        end
        local t = moonloop.spawn(moonloop.select, cases)
        until_true(function() return cases[125].waiting == 1 end)
        cases[77]:send("found")
        assert.same({ n = 2, 77, "found" }, results(t:wait()))
        cases[126] = moonloop.channel()
        assert.matches("126 cases; at most 125", raised(moonloop.select, cases))
    end)

    it("is refused when one of the queues is full, and leaves the others", function()
        local narrow, wide = moonloop.channel(0, { queue = 1 }), moonloop.channel()
        local t = moonloop.spawn(narrow.recv, narrow)
        until_true(function() return narrow.receiving == 1 end)
        assert.equal("full", select(2, raised(moonloop.select, { a = narrow, b = wide, c = { wide, "send", 1 } })))
        assert.equal(0, wide.waiting)
        narrow:send(1)
        t:wait()
    end)

    it("says what is wrong with a case, with the caller's line", function()
        local channel = moonloop.channel()
        local function refused(pattern, cases)
            assert.matches("select_spec.lua:%d+: select: " .. pattern, raised(function()
                local _ = moonloop.select(cases)
            end))
        end
        refused("expected a table of cases, got nil")
        refused("expected a table of cases", channel)
        refused("there is no case to wait for", {})
        refused("case a: expected a channel, .* got 3", { a = 3 })
        refused("case %[1%]: expected a channel", { { "x", "send" } })
        refused('case a: a channel has "recv" and "send"', { a = { channel, "sned", 1 } })
        refused("case a: nil cannot be sent", { a = { channel, "send" } })
        refused('case a: an event has "wait"', { a = { moonloop.event(), "recv" } })
        refused("timeout: expected 0 to 31622400 seconds, got nan", { timeout = 0 / 0 })
        refused("timeout: expected .* got %-1", { timeout = -1 })
        refused("default: expected true, got 5", { default = 5 })
    end)
end)
