--- Circuit breakers. The clock is a variable.

local clock = require("moonloop.clock")
local errors = require("moonloop.util.errors")
local moonloop = require("moonloop")
local tasks = require("spec.support.tasks")

local raised = tasks.raised

describe("a circuit breaker", function()
    local real_now = clock.now
    local now, changes

    before_each(function()
        now, changes = 1000, {}
        clock.now = function() return now end
    end)
    after_each(function() clock.now = real_now end)

    local function new(options)
        options.on_change = function(state, before)
            changes[#changes + 1] = before .. " to " .. state
        end
        return moonloop.circuit_breaker(options)
    end

    local function fail(breaker, code)
        return select(2, raised(breaker.run, breaker, function() errors.raise(code or "refused", "no") end))
    end

    local function succeed(breaker)
        return breaker:run(function(...) return ... end, "fine", 2)
    end

    it("lets calls through, and gives what they give", function()
        local breaker = new({ failures = 2 })
        assert.same({ "fine", 2 }, { succeed(breaker) })
        assert.equal("refused", fail(breaker))
        assert.equal("closed", breaker.state)
        assert.equal(1, breaker.failing)
        succeed(breaker)
        assert.equal(0, breaker.failing)
    end)

    it("opens after so many failures in a row, and says when to come again", function()
        local breaker = new({ failures = 3, cooldown = 10, name = "billing" })
        for _ = 1, 3 do
            fail(breaker)
        end
        assert.equal("open", breaker.state)
        now = now + 4
        local ok, err = pcall(breaker.run, breaker, function() error("not called") end)
        assert.is_false(ok)
        assert.equal("open", err.code)
        assert.equal(6, err.retry_after)
        assert.matches("the circuit breaker billing is open", err.message)
        assert.same({ "closed to open" }, changes)
    end)

    it("forgets failures that are older than the window", function()
        local breaker = new({ failures = 3, window = 60 })
        fail(breaker)
        fail(breaker)
        now = now + 61
        fail(breaker)
        assert.equal("closed", breaker.state)
        assert.equal(1, breaker.failing)
    end)

    it("closes when the calls that may try succeed, and opens again when one fails", function()
        local breaker = new({ failures = 1, cooldown = 10, half_open = 2 })
        fail(breaker)
        now = now + 10
        assert.equal("half_open", breaker.state)
        fail(breaker)
        assert.equal("open", breaker.state)
        now = now + 10
        succeed(breaker)
        assert.equal("half_open", breaker.state)
        succeed(breaker)
        assert.equal("closed", breaker.state)
        assert.same({ "closed to open", "open to half_open", "half_open to open", "open to half_open",
            "half_open to closed" }, changes)
    end)

    it("lets only so many try at once; one that is cancelled gives its place back", function()
        local breaker = new({ failures = 1, cooldown = 10 })
        fail(breaker)
        now = now + 10
        local go = moonloop.event()
        local trial = moonloop.spawn(breaker.run, breaker, go.wait, go)
        tasks.until_true(function() return go.waiting == 1 end)
        assert.equal("open", select(2, raised(succeed, breaker)))
        trial:cancel()
        pcall(trial.wait, trial)
        assert.equal("fine", (succeed(breaker)))
        assert.equal("closed", breaker.state)
    end)

    it("does not count what calls of an earlier phase have to say", function()
        local breaker = new({ failures = 1, cooldown = 10 })
        local go = moonloop.event()
        local old = moonloop.spawn(breaker.run, breaker, function() go:wait() error("late") end)
        tasks.until_true(function() return go.waiting == 1 end)
        fail(breaker)
        now = now + 10
        succeed(breaker)
        go:set()
        pcall(old.wait, old)
        assert.equal("closed", breaker.state)
    end)

    it("counts the errors that it is told to", function()
        local breaker = new({ failures = 1, on = { "timeout", "refused" } })
        fail(breaker, "dns")
        fail(breaker, "cancelled")
        assert.equal("closed", breaker.state)
        fail(breaker, "timeout")
        assert.equal("open", breaker.state)
        breaker:reset()
        assert.equal("closed", breaker.state)
        breaker = new({ failures = 1 })
        for _, code in ipairs({ "cancelled", "misuse", "deadlock", "abort" }) do
            fail(breaker, code)
        end
        assert.equal("closed", breaker.state)
    end)

    it("goes on when on_change fails", function()
        local breaker = moonloop.circuit_breaker({ failures = 1, on_change = function() error("in on_change") end })
        assert.equal("refused", fail(breaker))
        assert.equal("open", breaker.state)
    end)

    it("refuses options that make no sense, with the caller's line", function()
        local function refused(pattern, options)
            assert.matches("circuit_breaker_spec.lua:%d+: circuit_breaker: " .. pattern,
                raised(function() local _ = moonloop.circuit_breaker(options) end))
        end
        refused("failures: expected an integer from 1", { failures = 0 })
        refused("cooldown: expected a number from 0", { cooldown = 0 / 0 })
        refused("window: expected a number from 0", { window = -1 })
        refused("half_open: expected an integer from 1", { half_open = 0 })
        refused("unknown option failure; did you mean failures%?", { failure = 1 })
        refused("on: expected a function", { on = 5 })
        refused("on_change: expected a function", { on_change = "x" })
    end)
end)
