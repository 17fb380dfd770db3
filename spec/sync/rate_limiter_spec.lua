--- Rate limiters, mostly in virtual time.

local moonloop = require("moonloop")
local tasks = require("spec.support.tasks")
local testing = require("moonloop.testing")

local raised, until_true = tasks.raised, tasks.until_true

describe("a rate limiter", function()
    local check_leaks

    before_each(function() check_leaks = tasks.leak_check() end)
    after_each(function() check_leaks() end)

    it("lets a burst through at once, then so many a second", function()
        testing.virtual(function()
            local limiter = moonloop.rate_limiter({ rate = 50, burst = 5 })
            local began = moonloop.now()
            for _ = 1, 5 do
                assert.is_true(limiter:try_acquire())
            end
            assert.is_false(limiter:try_acquire())
            assert.equal(began, moonloop.now())
            for i = 1, 10 do
                limiter:acquire()
                assert.near(i / 50, moonloop.now() - began, 0.002)
            end
            moonloop.sleep(60) -- no more than a burst is saved up
            assert.equal(5, limiter.available)
        end)
    end)

    it("keeps its rate for an hour, whoever waits", function()
        testing.virtual(function()
            local limiter = moonloop.rate_limiter({ rate = 0.5, burst = 10 })
            local began, most = moonloop.now(), 0
            moonloop.map({ 1, 2, 3 }, function(count)
                for _ = 1, 200 do
                    limiter:acquire(count)
                    most = math.max(most, limiter.waiting)
                end
            end)
            assert.near((1200 - 10) / 0.5, moonloop.now() - began, 1)
            assert.equal(2, most)
        end)
    end)

    it("serves those who wait in their order, also one who wants many", function()
        local limiter, order = moonloop.rate_limiter({ rate = 1000, burst = 4 }), {}
        assert.is_true(limiter:try_acquire(4))
        moonloop.map({ 1, 4, 1, 2 }, function(count, i)
            limiter:acquire(count)
            order[#order + 1] = i
        end)
        assert.same({ 1, 2, 3, 4 }, order)
        assert.equal(0, limiter.waiting)
    end)

    it("does not let anyone pass those who wait", function()
        local limiter = moonloop.rate_limiter({ rate = 0.001, burst = 1 })
        limiter:acquire()
        local t = moonloop.spawn(limiter.acquire, limiter)
        until_true(function() return limiter.waiting == 1 end)
        assert.is_false(limiter:try_acquire())
        t:cancel()
        pcall(t.wait, t)
        assert.equal(0, limiter.waiting)
    end)

    it("gives the place of one who is cancelled to the next", function()
        local limiter, order = moonloop.rate_limiter({ rate = 200, burst = 100 }), {}
        limiter:acquire(100)
        local function take(name, count)
            limiter:acquire(count)
            order[#order + 1] = name
        end
        local long = moonloop.spawn(take, "long", 100)
        local middle = moonloop.spawn(take, "middle", 90)
        local short = moonloop.spawn(take, "short", 1)
        until_true(function() return limiter.waiting == 3 end)
        middle:cancel()
        long:cancel() -- the head: its successor need not wait for 100 tokens
        short:wait()
        pcall(long.wait, long)
        pcall(middle.wait, middle)
        assert.same({ "short" }, order)
    end)

    it("takes nothing for one whose deadline passes", function()
        local limiter = moonloop.rate_limiter({ rate = 0.001, burst = 1 })
        limiter:acquire()
        assert.equal("timeout", select(2, raised(moonloop.timeout, 0.002, limiter.acquire, limiter)))
        assert.is_true(limiter.available < 1 and limiter.available >= 0)
    end)

    it("runs a function, lets only so many wait, and can be closed", function()
        local limiter = moonloop.rate_limiter({ rate = 0.001, burst = 1, queue = 2, name = "api" })
        assert.same({ 1, 2 }, { limiter:with(function(...) return ... end, 1, 2) })
        local a, b = moonloop.spawn(limiter.acquire, limiter), moonloop.spawn(limiter.acquire, limiter)
        until_true(function() return limiter.waiting == 2 end)
        local text, code = raised(limiter.acquire, limiter)
        assert.equal("full", code)
        assert.matches("2 tasks wait for the rate limiter api already", text)
        limiter:close()
        assert.equal("closed", select(2, raised(a.wait, a)))
        assert.equal("closed", select(2, raised(b.wait, b)))
        assert.equal("closed", select(2, raised(limiter.acquire, limiter)))
        assert.equal("closed", select(2, raised(limiter.try_acquire, limiter)))
        assert.equal("misuse", select(2, raised(limiter.close, limiter)))
    end)

    it("refuses numbers that make no sense, with the caller's line", function()
        for _, rate in ipairs({ 0, -1, 0 / 0, math.huge, "10", false }) do
            assert.matches("rate_limiter_spec.lua:%d+: rate_limiter: rate: expected a number",
                raised(function() local _ = moonloop.rate_limiter({ rate = rate }) end))
        end
        assert.matches("rate_limiter_spec.lua:%d+: rate_limiter: burst: expected an integer",
            raised(function() local _ = moonloop.rate_limiter({ rate = 1, burst = 0 }) end))
        assert.matches("unknown option brust; did you mean burst%?",
            raised(function() local _ = moonloop.rate_limiter({ rate = 1, brust = 1 }) end))
        local limiter = moonloop.rate_limiter({ rate = 1, burst = 2 })
        assert.matches("rate_limiter_spec.lua:%d+: rate_limiter:acquire: expected an integer from 1 to 2, got 3",
            raised(function() limiter:acquire(3) end))
    end)
end)
