local core = require("moonloop.core.topic")
local moonloop = require("moonloop")

local topic = moonloop.topic("spec")

--- The error that `fn` raises.
local function err_of(fn, ...)
    local ok, err = pcall(fn, ...)
    assert.is_false(ok)
    return err
end

local function refusal(message)
    return err_of(function()
        topic:publish(message)
    end)
end

describe("a topic", function()
    local subscriptions

    local function subscribe(options)
        local sub = topic:subscribe(options)
        subscriptions[#subscriptions + 1] = sub
        return sub
    end

    before_each(function()
        subscriptions = {}
    end)

    after_each(function()
        for _, sub in ipairs(subscriptions) do
            sub:close()
        end
        assert.same({}, core.list())
    end)

    it("brings each message to each who subscribes, as a copy of its own", function()
        local one, two, message = subscribe(), subscribe(), { user = "Ada", tags = { 1, 2 } }
        topic:publish(message)
        message.user = "changed"
        local first, second = one:recv(), two:recv()
        assert.same({ user = "Ada", tags = { 1, 2 } }, first)
        assert.same(first, second)
        assert.are_not.equal(first, second)
    end)

    it("carries strings, numbers, booleans, 64-bit integers and json's null", function()
        local sub = subscribe()
        for _, value in ipairs({ "", "text\0more", 0.5, false, true, 2 ^ 53, {}, 12345678901234567LL,
            moonloop.json.null }) do
            topic:publish(value)
            assert.same(value, (sub:recv()))
        end
    end)

    it("iterates until it is closed, and what it holds then is not lost", function()
        local sub = subscribe()
        for i = 1, 3 do
            topic:publish(i)
        end
        sub:close()
        topic:publish("too late")
        local got = {}
        for message, lost in sub do
            got[#got + 1] = message + lost
        end
        assert.same({ 1, 2, 3 }, got)
        assert.equal("closed", err_of(sub.recv, sub).code)
        assert.equal("closed", err_of(sub.try_recv, sub).code)
        sub:close() -- harmless
    end)

    it("wakes whoever waits, first come, first served", function()
        local sub, got = subscribe(), {}
        moonloop.scope(function(scope)
            for i = 1, 3 do
                scope:spawn(function()
                    local message = sub:recv()
                    got[#got + 1] = i .. message
                end)
            end
            moonloop.sleep(0)
            topic:publish("a")
            topic:publish("b")
            topic:publish("c")
        end)
        assert.same({ "1a", "2b", "3c" }, got)
    end)

    it("ends the wait of a task when the subscription is closed", function()
        local sub, err = subscribe(), nil
        moonloop.scope(function(scope)
            scope:spawn(function()
                err = err_of(sub.recv, sub)
            end)
            moonloop.sleep(0)
            sub:close()
        end)
        assert.equal("closed", err.code)
    end)

    it("gives up the wait at a deadline, and loses nothing by that", function()
        local sub = subscribe()
        assert.equal("timeout", err_of(moonloop.timeout, 0.005, sub.recv, sub).code)
        topic:publish("later")
        assert.equal("later", (sub:recv()))
    end)

    it("can be a case of a select", function()
        local sub, other = subscribe(), moonloop.channel()
        moonloop.scope(function(scope)
            scope:spawn(function()
                moonloop.sleep(0)
                topic:publish("hello")
            end)
            local key, message = moonloop.select({ chat = sub, other = other, timeout = 5 })
            assert.same({ "chat", "hello" }, { key, message })
        end)
        assert.equal("default", (moonloop.select({ chat = sub, default = true })))
        topic:publish(false)
        assert.same({ "chat", false }, { moonloop.select({ chat = sub, other = other }) })
        sub:close()
        assert.same({ "chat" }, { moonloop.select({ chat = sub, other = other }) })
    end)

    describe("with a slow subscriber", function()
        it("drops the oldest, and tells how many with the next", function()
            local sub = subscribe({ queue = 2 })
            for i = 1, 5 do
                topic:publish(i)
            end
            assert.same({ 4, 3 }, { sub:recv() })
            assert.same({ 5, 0 }, { sub:recv() })
            assert.same({ 3, 0, 2 }, { sub.lost, sub.length, sub.received })
        end)

        it("drops the newest when that is wanted", function()
            local sub = subscribe({ queue = 2, overflow = "drop_newest" })
            for i = 1, 5 do
                topic:publish(i)
            end
            assert.same({ 1, 0 }, { sub:recv() })
            topic:publish(6)
            assert.same({ 2, 0 }, { sub:recv() })
            assert.same({ 6, 3 }, { sub:recv() })
        end)

        it("closes it when that is wanted, and says so after what it holds", function()
            local sub = subscribe({ queue = 2, overflow = "close" })
            for i = 1, 5 do
                topic:publish(i)
            end
            assert.is_true(sub.is_closed)
            assert.same({ 1, 2 }, { (sub:recv()), (sub:recv()) })
            assert.equal("full", err_of(sub.recv, sub).code)
            assert.equal("full", err_of(sub).code)
            assert.equal("full", err_of(moonloop.select, { sub }).code)
            assert.equal(1, sub.lost)
        end)

        it("bounds the bytes that wait, too, but never refuses a single message", function()
            local sub = subscribe({ bytes = 10000 })
            for _ = 1, 100 do
                topic:publish(("x"):rep(1000))
            end
            assert.equal(9, sub.length)
            topic:publish(("y"):rep(20000))
            assert.same({ ("y"):rep(20000), 100 }, { sub:recv() })
        end)
    end)

    it("belongs to the scope that subscribed", function()
        local inner, of_task
        moonloop.scope(function()
            inner = topic:subscribe()
            topic:publish("in")
        end)
        moonloop.spawn(function()
            of_task = topic:subscribe()
        end):wait()
        pcall(moonloop.timeout, 0.001, function()
            topic:subscribe():recv()
        end)
        pcall(moonloop.scope, function()
            topic:subscribe()
            error("left by an error")
        end)
        assert.same({}, core.list())
        assert.equal("in", (inner:recv()))
        assert.equal("closed", err_of(inner.recv, inner).code)
        assert.is_true(of_task.is_closed)
    end)

    it("ends when nobody holds it any more", function()
        topic:subscribe()
        collectgarbage()
        collectgarbage()
        assert.same({}, core.list())
    end)

    it("can be published to from an offload thread, but not subscribed to there", function()
        local sub = subscribe()
        moonloop.offload(function()
            for i = 1, 100 do
                require("moonloop").topic("spec"):publish(i)
            end
        end)
        for i = 1, 100 do
            assert.same({ i, 0 }, { sub:recv() })
        end
        local err = err_of(moonloop.offload, function()
            require("moonloop").topic("spec"):subscribe()
        end)
        assert.equal("misuse", err.code)
        assert.truthy(err.message:find("subscribe in the handler", 1, true))
    end)

    it("can be published to from a pool of processes, but not subscribed to there", function()
        local pool, sub = moonloop.pool({ kind = "process", size = 1, name = "topics" }), subscribe()
        pool:run(function()
            for i = 1, 100 do
                require("moonloop").topic("spec"):publish({ i })
            end
        end)
        for i = 1, 100 do
            assert.same({ { i }, 0 }, { sub:recv() })
        end
        local err = err_of(pool.run, pool, function()
            require("moonloop").topic("spec"):subscribe()
        end)
        assert.equal("misuse", err.code)
        pool:close()
    end)

    it("names what cannot be sent, and where it is", function()
        local ring = {}
        ring.next = { ring }
        assert.matches("message: cannot send a function", refusal(print), 1, true)
        assert.matches("message.user.callback: cannot send a function", refusal({ user = { callback = print } }), 1,
            true)
        assert.matches('message.list[2]["a b"]: cannot send a userdata',
            refusal({ list = { 1, { ["a b"] = io.stdout } } }), 1, true)
        assert.matches("message: cannot send a coroutine", refusal(coroutine.create(print)), 1, true)
        assert.matches("message.next[1]: cannot send a table that holds itself", refusal(ring), 1, true)
        assert.matches("message, key: cannot send a function", refusal({ [print] = 1 }), 1, true)
        assert.matches("nil cannot be published", refusal(nil), 1, true)
        assert.matches("topic_spec.lua", refusal(nil), 1, true)
    end)

    it("refuses a message above a million bytes", function()
        local sub = subscribe()
        local err = refusal(("x"):rep(1000001))
        assert.equal("too_large", err.code)
        assert.matches("at most 1000000", err.message, 1, true)
        assert.is_nil(sub:try_recv())
    end)

    it("refuses names and options that make no sense", function()
        assert.matches("expected a name of 1 to 255 bytes, got 0 bytes", err_of(moonloop.topic, ""), 1, true)
        assert.matches("got 256 bytes", err_of(moonloop.topic, ("x"):rep(256)), 1, true)
        assert.matches("got nil", err_of(moonloop.topic), 1, true)
        assert.matches("did you mean queue", err_of(topic.subscribe, topic, { queu = 1 }), 1, true)
        assert.matches("queue: expected an integer from 1", err_of(topic.subscribe, topic, { queue = 0 }), 1, true)
        assert.matches("bytes: expected an integer", err_of(topic.subscribe, topic, { bytes = 0 / 0 }), 1, true)
        assert.matches('overflow: expected "drop_oldest"', err_of(topic.subscribe, topic, { overflow = "block" }), 1,
            true)
    end)
end)
