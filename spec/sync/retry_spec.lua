--- Retry.

local errors = require("moonloop.util.errors")
local moonloop = require("moonloop")
local tasks = require("spec.support.tasks")
local testing = require("moonloop.testing")

local raised = tasks.raised

local function raised_error(fn, ...)
    local ok, err = pcall(fn, ...)
    assert.is_false(ok)
    return err
end

describe("retry", function()
    local check_leaks

    before_each(function() check_leaks = tasks.leak_check() end)
    after_each(function() check_leaks() end)

    it("tries again until it works, and tells which attempt it is", function()
        local seen = {}
        local function flaky(attempt)
            seen[#seen + 1] = attempt
            if attempt < 3 then
                error("not yet")
            end
            return "a", nil, "c"
        end
        assert.same({ "a", nil, "c" }, { moonloop.retry({ backoff = 0 }, flaky) })
        assert.same({ 1, 2, 3 }, seen)
        assert.equal("at once", moonloop.retry(function() return "at once" end))
    end)

    it("raises the last error, with those before", function()
        local err = raised_error(moonloop.retry, { times = 3, backoff = 0 }, function(attempt)
            errors.raise("refused", "attempt %d", attempt)
        end)
        assert.equal("refused", err.code)
        assert.equal("attempt 3", err.message)
        assert.equal(3, err.tries)
        assert.equal(2, #err.attempts)
        assert.equal("attempt 1", err.attempts[1].message)
        err = raised_error(moonloop.retry, { times = 2, backoff = 0 }, function() error("plain") end)
        assert.matches("retry_spec.lua:%d+: plain", err.message)
        assert.matches("retry_spec.lua", err.traceback)
        assert.equal(2, err.tries)
    end)

    it("attaches nothing to itself when the same error comes again", function()
        local same = errors.new("refused", "always me")
        local err = raised_error(moonloop.retry, { times = 3, backoff = 0 }, function() error(same) end)
        assert.equal(same, err)
        assert.same({}, err.attempts)
        assert.equal(3, err.tries)
    end)

    it("doubles its pauses up to the longest, less chance", function()
        local function pauses_of(options, err)
            local pauses, last = {}, nil
            testing.virtual(function()
                pcall(moonloop.retry, options, function()
                    pauses[#pauses + 1] = last and moonloop.now() - last
                    last = moonloop.now()
                    error(err)
                end)
            end)
            return pauses
        end
        local function assert_pauses(expected, pauses)
            assert.equal(#expected, #pauses)
            for i, pause in ipairs(pauses) do
                assert.near(expected[i], pause, 1e-3)
            end
        end
        assert_pauses({ 1, 2, 4, 5 }, pauses_of({ times = 5, backoff = 1, max_backoff = 5, jitter = false }, "no"))
        local wished = errors.new("open", "later", { retry_after = 3 })
        assert_pauses({ 3, 3, 3 }, pauses_of({ times = 4, backoff = 1, factor = 1, jitter = false }, wished))
        local longest = { 1, 2, 4, 5 }
        for i, pause in ipairs(pauses_of({ times = 5, backoff = 1, max_backoff = 5 }, "no")) do
            assert.is_true(pause <= longest[i] + 1e-3 and pause >= longest[i] / 2)
        end
    end)

    it("tries again only what is worth it", function()
        local function count(on, code)
            local attempts = 0
            local err = raised_error(moonloop.retry, { times = 3, backoff = 0, on = on }, function()
                attempts = attempts + 1
                errors.raise(code, "no")
            end)
            assert.equal(code, err.code)
            return attempts
        end
        assert.equal(3, count(nil, "refused"))
        assert.equal(3, count(nil, "timeout"))
        for _, code in ipairs({ "cancelled", "misuse", "deadlock", "abort" }) do
            assert.equal(1, count(nil, code))
        end
        assert.equal(3, count("refused", "refused"))
        assert.equal(1, count("refused", "timeout"))
        assert.equal(3, count({ "refused", "timeout" }, "timeout"))
        assert.equal(1, count(function(err) return err.code == "dns" end, "timeout"))
        assert.equal(1, count(function() return true end, "cancelled"))
    end)

    it("never goes on after the end of the scope around it", function()
        local attempts = 0
        local function slow()
            attempts = attempts + 1
            moonloop.sleep(100)
        end
        assert.equal("timeout", select(2, raised(moonloop.timeout, 0.005, moonloop.retry, { backoff = 0 }, slow)))
        assert.equal(1, attempts)
        local t = moonloop.spawn(moonloop.retry, { backoff = 0 }, slow)
        tasks.until_true(function() return attempts == 2 end)
        t:cancel()
        assert.equal("cancelled", select(2, raised(t.wait, t)))
        assert.equal(2, attempts)
        t = moonloop.spawn(moonloop.retry, { backoff = 100, jitter = false }, function() error("no") end)
        moonloop.sleep(0)
        t:cancel()
        assert.equal("cancelled", select(2, raised(t.wait, t)))
    end)

    it("tries again what an inner deadline cut short", function()
        local attempts = 0
        local value = moonloop.retry({ backoff = 0 }, function()
            return moonloop.timeout(0.002, function()
                attempts = attempts + 1
                if attempts < 3 then
                    moonloop.sleep(100)
                end
                return attempts
            end)
        end)
        assert.equal(3, value)
    end)

    it("has a deadline for all attempts, and begins no pause that would end later", function()
        local attempts = 0
        local err = raised_error(moonloop.retry, { times = 100, backoff = 0, deadline = 0.005 }, function()
            attempts = attempts + 1
            moonloop.sleep(100)
        end)
        assert.equal("timeout", err.code)
        assert.equal(1, attempts)
        err = raised_error(moonloop.retry, { backoff = 100, deadline = 10 }, function() error("no") end)
        assert.matches("no", err.message)
    end)

    it("refuses options that make no sense, with the caller's line", function()
        local function fn() end
        local function refused(pattern, options)
            assert.matches("retry_spec.lua:%d+: retry: " .. pattern, raised(function() moonloop.retry(options, fn) end))
        end
        refused("times: expected an integer from 1", { times = 0 })
        refused("backoff: expected a number from 0", { backoff = -1 })
        refused("backoff: expected a number from 0", { backoff = 0 / 0 })
        refused("factor: expected a number from 1", { factor = 0.5 })
        refused("jitter: expected a number from 0 to 1", { jitter = 2 })
        refused("deadline: expected a number", { deadline = math.huge })
        refused("unknown option time; did you mean times%?", { time = 2 })
        refused("on: expected a function, a code or a list of codes", { on = {} })
        refused("on: what was cancelled never counts", { on = { "cancelled" } })
        assert.matches("retry_spec.lua:%d+: retry: expected a function", raised(function() moonloop.retry({}) end))
    end)
end)
