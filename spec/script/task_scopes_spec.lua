--- Scopes, deadlines, cancellation and failures, seen from Lua.

local core = require("moonloop.core.task")
local errors = require("moonloop.util.errors")
local moonloop = require("moonloop")

local function code_of(fn, ...)
    local ok, err = pcall(fn, ...)
    assert.is_false(ok)
    return type(err) == "table" and err.code or err, err
end

local function forever()
    moonloop.sleep(1000)
end

describe("a scope", function()
    it("waits for its children", function()
        local log = {}
        moonloop.scope(function(s)
            s:spawn(function() moonloop.sleep(0.01) log[#log + 1] = "child" end)
            log[#log + 1] = "body"
        end)
        assert.same({ "body", "child" }, log)
    end)

    it("gives what its function gave, nils included", function()
        local count = select("#", moonloop.scope(function() return nil, 2, nil end))
        assert.equal(3, count)
    end)

    it("ends the siblings at the first failure, which the parent sees with the others attached", function()
        local sibling
        local _, err = code_of(moonloop.scope, function(s)
            sibling = s:spawn(function()
                local ok, why = pcall(forever)
                assert(not ok)
                error("while cleaning up after " .. why.code)
            end)
            s:spawn(function() error("first") end)
        end)
        assert.matches("first", err.message)
        assert.equal("failed", sibling.state)
        assert.matches("after cancelled", err.others[1].message)
    end)

    it("tells a cancelled sibling the cause", function()
        local seen
        pcall(moonloop.scope, function(s)
            s:spawn(function()
                local ok, why = pcall(forever)
                seen = not ok and why
                error(why, 0)
            end)
            s:spawn(function() error("boom") end)
        end)
        assert.equal("cancelled", seen.code)
        assert.matches("boom", seen.cause.message)
    end)

    it("is not failed by a child that was cancelled on its own", function()
        local after = moonloop.scope(function(s)
            local t = s:spawn(forever)
            moonloop.sleep(0)
            t:cancel("enough")
            moonloop.sleep(0.01)
            return t.state
        end)
        assert.equal("cancelled", after)
    end)

    it("cancels its children when its body raises, and raises that", function()
        local child
        local _, err = code_of(moonloop.scope, function(s)
            child = s:spawn(forever)
            moonloop.sleep(0)
            error("body")
        end)
        assert.matches("body", err.message)
        assert.equal("cancelled", child.state)
        assert.equal("cancelled", child.err.code)
    end)

    it("raises errors of every type, from its body and from a child", function()
        for _, value in ipairs({ 42, "text", { 1 }, true, false }) do
            for _, run in ipairs({
                function() error(value, 0) end,
                function(s) s:spawn(function() error(value, 0) end) end,
            }) do
                local ok, err = pcall(moonloop.scope, run)
                assert.is_false(ok)
                assert.equal(type(value) == "string" and value or value, errors.is(err) and err.message or err)
            end
        end
        assert.matches("nil", select(2, code_of(moonloop.scope, function() error(nil) end)).message)
        assert.matches("nil", select(2, code_of(moonloop.scope, function(s)
            s:spawn(function() error(nil) end)
        end)).message)
    end)

    it("spawns into itself from an inner scope, and refuses when it was left", function()
        local outer, state
        moonloop.scope(function(s)
            outer = s
            local t
            moonloop.scope(function() t = s:spawn(moonloop.sleep, 0.01) end)
            state = t.state
        end)
        assert.is_nil(state)
        assert.equal("misuse", code_of(outer.spawn, outer, forever))
        outer:cancel()
    end)

    it("survives that a coroutine inside it never leaves its own", function()
        local inner, child
        moonloop.scope(function()
            local step = coroutine.wrap(function()
                moonloop.scope(function(s)
                    inner, child = s, s:spawn(forever)
                    coroutine.yield(1)
                end)
            end)
            step()
        end)
        collectgarbage()
        assert.equal("cancelled", child.state)
        assert.equal("misuse", code_of(inner.spawn, inner, forever))
    end)

    it("cannot be left by another task", function()
        local step, code
        local t = moonloop.spawn(function()
            step = coroutine.wrap(function()
                moonloop.scope(function() coroutine.yield() end)
            end)
            step()
            moonloop.sleep(0.02)
        end)
        moonloop.sleep(0)
        code = code_of(step)
        t:wait()
        assert.equal("misuse", code)
    end)
end)

describe("a deadline", function()
    it("raises timeout, and nested ones only shorten", function()
        local before = moonloop.now()
        assert.equal("timeout", code_of(moonloop.timeout, 0.02, function()
            moonloop.timeout(100, forever)
        end))
        local inner
        local ok = pcall(moonloop.timeout, 100, function()
            inner = code_of(moonloop.timeout, 0.02, forever)
            moonloop.sleep(0)
        end)
        assert.is_true(ok)
        assert.equal("timeout", inner)
        assert.is_true(moonloop.now() - before < 10)
    end)

    it("goes on raising until its scope is left", function()
        local codes = {}
        pcall(moonloop.timeout, 0.01, function()
            for i = 1, 3 do
                codes[i] = code_of(moonloop.sleep, 10)
            end
        end)
        assert.same({ "timeout", "timeout", "timeout" }, codes)
        moonloop.sleep(0)
    end)

    it("reaches children, and children of children", function()
        local deep
        assert.equal("timeout", code_of(moonloop.scope, { deadline = 0.02 }, function(s)
            s:spawn(function()
                deep = moonloop.spawn(forever)
                deep:wait()
            end)
        end))
        assert.equal("cancelled", deep.state)
    end)

    it("refuses what is no time", function()
        for _, bad in ipairs({ -1, 0 / 0, math.huge }) do
            assert.equal("misuse", code_of(moonloop.sleep, bad))
            assert.equal("misuse", code_of(moonloop.timeout, bad, forever))
        end
    end)
end)

describe("cancelling", function()
    it("keeps a task that has not begun from beginning", function()
        local began = false
        local t = moonloop.spawn(function() began = true end)
        t:cancel("not needed")
        local code, err = code_of(t.wait, t)
        assert.equal("cancelled", code)
        assert.equal("not needed", err.message)
        assert.is_false(began)
        assert.equal("cancelled", t.status)
    end)

    it("lets one that is ready see its result, then raises at its next wait", function()
        local got
        local t = moonloop.spawn(function()
            moonloop.sleep(0)
            got = true
            moonloop.sleep(0)
            got = "too far"
        end)
        local u = moonloop.spawn(moonloop.sleep, 0)
        u:wait()
        t:cancel()
        pcall(t.wait, t)
        assert.is_true(got)
    end)

    it("works on oneself: the next wait raises", function()
        local t
        t = moonloop.spawn(function()
            t:cancel("me")
            moonloop.sleep(0)
        end)
        assert.equal("cancelled", code_of(t.wait, t))
    end)

    it("is harmless twice, and after the end", function()
        local t = moonloop.spawn(forever)
        moonloop.sleep(0)
        t:cancel("a")
        t:cancel("b")
        local _, err = code_of(t.wait, t)
        assert.equal("a", err.message)
        t:cancel("c")
        assert.equal("a", select(2, code_of(t.wait, t)).message)
    end)

    it("spares a shield, and raises after it", function()
        local log = {}
        local t
        t = moonloop.spawn(function()
            moonloop.shield(function()
                moonloop.sleep(0.01)
                log[#log + 1] = "cleaned"
                local u = moonloop.spawn(function() moonloop.sleep(0.01) log[#log + 1] = "child" end)
                u:wait()
            end)
            log[#log + 1] = code_of(moonloop.sleep, 0)
        end)
        moonloop.sleep(0)
        t:cancel()
        t:wait()
        assert.same({ "cleaned", "child", "cancelled" }, log)
    end)

    it("reaches a waiter without ending what it waits for; all waiters see one end", function()
        local t = moonloop.spawn(function() moonloop.sleep(0.02) return "v" end)
        local seen = {}
        local waiters = {}
        for i = 1, 3 do
            waiters[i] = moonloop.spawn(function() seen[i] = t:wait() end)
        end
        moonloop.sleep(0)
        waiters[2]:cancel()
        waiters[1]:wait()
        waiters[3]:wait()
        assert.same({ "v", nil, "v" }, { seen[1], seen[2], seen[3] })
        assert.equal("v", t:wait())
    end)

    it("ends children whose parent ended", function()
        local child
        moonloop.spawn(function() child = moonloop.spawn(forever) end):wait()
        assert.equal("cancelled", child.state)
        assert.matches("has ended", child.err.message)
    end)
end)

describe("a failure", function()
    it("carries the traceback of its task and the places of the spawns", function()
        local function culprit() error("deep") end
        local t = moonloop.spawn("outer", function()
            moonloop.spawn(function() culprit() end):wait()
        end)
        local _, err = code_of(t.wait, t)
        assert.equal("outer", t.name)
        assert.matches("culprit", err.traceback)
        local _, count = err.traceback:gsub("spawned at [^\n]*task_scopes_spec%.lua:%d+", "")
        assert.is_true(count >= 2)
    end)
end)

describe("what nothing leaves behind", function()
    it("is counted", function()
        local before = core.counts()
        for _ = 1, 100 do
            pcall(moonloop.timeout, 0, function() moonloop.gather(forever, forever) end)
        end
        local after = core.counts()
        assert.equal(before.tasks, after.tasks)
        assert.equal(before.timers, after.timers)
        assert.equal(before.handles, after.handles)
    end)
end)
