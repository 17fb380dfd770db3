--- Channels: order, fairness, closing, cancelling, limits.

local moonloop = require("moonloop")
local tasks = require("spec.support.tasks")

local raised, until_true = tasks.raised, tasks.until_true

describe("a channel", function()
    local check_leaks

    before_each(function() check_leaks = tasks.leak_check() end)
    after_each(function() check_leaks() end)

    local function collect(channel)
        local list = {}
        for value in channel do
            list[#list + 1] = value
        end
        return list
    end

    for _, capacity in ipairs({ 0, 1, 3, 100 }) do
        it("gives what was sent, in order, with a capacity of " .. capacity, function()
            local channel = moonloop.channel(capacity)
            local sender = moonloop.spawn(function()
                for i = 1, 50 do
                    channel:send(i)
                    assert.is_true(channel.length <= capacity)
                end
                channel:close()
            end)
            local list = collect(channel)
            sender:wait()
            assert.equal(50, #list)
            for i = 1, 50 do
                assert.equal(i, list[i])
            end
        end)
    end

    it("hands a value over only when both sides are there, without a capacity", function()
        local channel = moonloop.channel()
        assert.is_false(channel:try_send(1))
        assert.is_nil(channel:try_recv())
        local steps = {}
        local sender = moonloop.spawn(function()
            channel:send("a")
            steps[#steps + 1] = "sent"
        end)
        until_true(function() return channel.sending == 1 end)
        assert.same({}, steps)
        assert.equal("a", channel:recv())
        sender:wait()
        assert.same({ "sent" }, steps)
    end)

    it("takes false, tables and functions, and refuses nil", function()
        local channel = moonloop.channel(3)
        local object = {}
        channel:send(false)
        channel:send(object)
        assert.is_false(channel:recv())
        assert.equal(object, channel:recv())
        assert.matches("channel_spec.lua:%d+: send: nil cannot be sent", raised(function() channel:send(nil) end))
        assert.matches("channel_spec.lua:%d+: try_send: nil", raised(function() channel:try_send(nil) end))
    end)

    it("serves those who receive in the order in which they came", function()
        local channel, order = moonloop.channel(), {}
        local function receive(name)
            local value = channel:recv()
            order[#order + 1] = name .. value
        end
        moonloop.scope(function(scope)
            for _, name in ipairs({ "a", "b", "c" }) do
                scope:spawn(receive, name)
            end
            until_true(function() return channel.receiving == 3 end)
            assert.equal(3, channel.waiting)
            for i = 1, 3 do
                assert.is_true(channel:try_send(i))
            end
        end)
        assert.same({ "a1", "b2", "c3" }, order)
    end)

    it("serves those who send in the order in which they came", function()
        local channel = moonloop.channel(1)
        moonloop.scope(function(scope)
            for i = 1, 4 do
                scope:spawn(channel.send, channel, i)
            end
            until_true(function() return channel.sending == 3 end)
            assert.equal(1, channel.length)
            for i = 1, 4 do
                assert.equal(i, channel:recv())
            end
        end)
    end)

    it("can be drained when it is closed, then raises `closed` and ends iteration", function()
        local channel = moonloop.channel(2, { name = "jobs" })
        channel:send(1)
        channel:send(2)
        channel:close()
        assert.is_true(channel.is_closed)
        assert.equal(1, channel:recv())
        assert.equal(2, channel:try_recv())
        for _, verb in ipairs({ "recv", "try_recv" }) do
            local text, code = raised(channel[verb], channel)
            assert.equal("closed", code)
            assert.equal("the channel jobs is closed", text)
        end
        assert.equal("closed", select(2, raised(channel.send, channel, 3)))
        assert.equal("closed", select(2, raised(channel.try_send, channel, 3)))
        assert.same({}, collect(channel))
    end)

    it("tells whoever closes it twice where it was closed first", function()
        local channel = moonloop.channel()
        channel:close()
        local text, code = raised(channel.close, channel)
        assert.equal("misuse", code)
        assert.matches("closed twice; the first time was at .*channel_spec.lua:%d+", text)
    end)

    it("wakes all who wait when it is closed; what they offered was not sent", function()
        local channel = moonloop.channel()
        local receivers = moonloop.spawn(function()
            return moonloop.map({ 1, 2 }, function() return channel:recv() end, { settle = true })
        end)
        until_true(function() return channel.receiving == 2 end)
        channel:close()
        for _, result in ipairs((receivers:wait())) do
            assert.equal("closed", result.err.code)
        end
        local full = moonloop.channel(1)
        full:send("kept")
        local sender = moonloop.spawn(full.send, full, "lost")
        until_true(function() return full.sending == 1 end)
        full:close()
        assert.equal("closed", select(2, raised(sender.wait, sender)))
        assert.same({ "kept" }, collect(full))
    end)

    it("forgets a sender and a receiver that are cancelled", function()
        local channel = moonloop.channel()
        local first, second = moonloop.spawn(channel.send, channel, 1), moonloop.spawn(channel.send, channel, 2)
        until_true(function() return channel.sending == 2 end)
        first:cancel()
        assert.equal(1, channel.sending) -- at once, before it has run
        assert.equal(2, channel:recv())
        second:wait()
        assert.equal("cancelled", select(2, raised(first.wait, first)))
        local receiver = moonloop.spawn(channel.recv, channel)
        until_true(function() return channel.receiving == 1 end)
        receiver:cancel()
        assert.is_false(channel:try_send(3))
        pcall(receiver.wait, receiver)
    end)

    it("gives its value to a receiver that is cancelled after it was woken", function()
        local channel, got, later = moonloop.channel(), nil, nil
        local receiver = moonloop.spawn(function()
            got = channel:recv()
            later = select(2, raised(moonloop.sleep, 0))
        end)
        until_true(function() return channel.receiving == 1 end)
        channel:send("here")
        receiver:cancel()
        pcall(receiver.wait, receiver)
        assert.equal("here", got)
        assert.equal("cancelled", later)
    end)

    it("takes a deadline from moonloop.timeout, and the place is free again", function()
        local channel = moonloop.channel()
        assert.equal("timeout", select(2, raised(moonloop.timeout, 0.005, channel.recv, channel)))
        assert.equal("timeout", select(2, raised(moonloop.timeout, 0.005, channel.send, channel, 1)))
        assert.equal(0, channel.waiting)
    end)

    it("does not lose a value that came before a deadline passed", function()
        local channel = moonloop.channel()
        local receiver = moonloop.spawn(moonloop.timeout, 0.001, channel.recv, channel)
        until_true(function() return channel.receiving == 1 end)
        for _ = 1, 2000 do -- more than run in one turn of the loop: its timers come between
            moonloop.spawn(function() end)
        end
        channel:send("in time")
        local due = moonloop.now() + 0.003
        repeat until moonloop.now() > due
        assert.equal("in time", receiver:wait())
        until_true(function() return require("moonloop.core.task").counts().tasks == 1 end)
    end)

    it("lets only so many wait on each side", function()
        local channel = moonloop.channel(0, { queue = 2, name = "narrow" })
        moonloop.scope(function(scope)
            for i = 1, 2 do
                scope:spawn(channel.send, channel, i)
            end
            until_true(function() return channel.sending == 2 end)
            local text, code = raised(channel.send, channel, 3)
            assert.equal("full", code)
            assert.matches("2 tasks wait for the channel narrow %(to send%) already", text)
            assert.equal(1, channel:recv())
            assert.equal(2, channel:recv())
        end)
        assert.equal(10000, require("moonloop.sync.waiting").QUEUE)
    end)

    it("works in coroutines of the user's own", function()
        local channel = moonloop.channel()
        moonloop.spawn(function()
            local send = coroutine.wrap(function()
                for i = 1, 3 do
                    channel:send(i)
                    coroutine.yield()
                end
            end)
            for _ = 1, 3 do
                send()
            end
            channel:close()
        end)
        assert.same({ 1, 2, 3 }, collect(channel))
    end)

    it("refuses what it cannot be made of, with the caller's line", function()
        for _, capacity in ipairs({ -1, 1.5, 0 / 0, math.huge, "1", false, {} }) do
            assert.matches("channel_spec.lua:%d+: channel: capacity: expected an integer from 0",
                raised(function() local _ = moonloop.channel(capacity) end))
        end
        assert.matches("channel_spec.lua:%d+: channel: unknown option queu; did you mean queue%?",
            raised(function() local _ = moonloop.channel(1, { queu = 1 }) end))
        assert.matches("channel_spec.lua:%d+: channel: queue: expected an integer from 1",
            raised(function() local _ = moonloop.channel(1, { queue = 0 }) end))
        assert.matches("channel_spec.lua:%d+: channel: name: expected a string",
            raised(function() local _ = moonloop.channel(1, { name = 1 }) end))
    end)
end)

describe("what has a name", function()
    it("is shown by `moonloop ps` while tasks wait for it or it holds something", function()
        local activity = require("moonloop.activity")
        local function rows()
            local list = {}
            for _, row in ipairs(activity.list()) do
                if row.name:find("^spec ") then
                    list[#list + 1] = ("%s %s %s: %s"):format(row.kind, row.name, row.state, row.detail)
                end
            end
            return list
        end
        local channel = moonloop.channel(2, { name = "spec jobs" })
        local mutex = moonloop.mutex({ name = "spec accounts" })
        local semaphore = moonloop.semaphore(2, { name = "spec slots" })
        local event = moonloop.event({ name = "spec ready" })
        local limiter = moonloop.rate_limiter({ rate = 1, name = "spec api" })
        local barrier = moonloop.barrier(2, { name = "spec start" })
        assert.same({}, rows())
        channel:send(1)
        semaphore:acquire()
        local t = moonloop.spawn("holder", function() mutex:with(event.wait, event) end)
        local late = moonloop.spawn(barrier.wait, barrier)
        until_true(function() return event.waiting == 1 and barrier.waiting == 1 end)
        assert.same({
            "barrier spec start waiting: 1 wait", "channel spec jobs held: 1 of 2 values",
            "event spec ready waiting: 1 wait", "mutex spec accounts held: held by holder",
            "semaphore spec slots held: 1 of 2 free",
        }, rows())
        event:set()
        t:wait()
        barrier:wait()
        late:wait()
        channel:recv()
        semaphore:release()
        assert.same({}, rows())
        assert.equal(0, limiter.waiting)
    end)
end)
