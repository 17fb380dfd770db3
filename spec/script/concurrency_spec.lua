--- gather, map, race, any: what they give, what they raise, and that nothing of them is left running.

local command = require("spec.support.command")
local core = require("moonloop.core.task")
local moonloop = require("moonloop")

local function forever()
    moonloop.sleep(1000)
end

local function after(seconds, ...)
    local values, count = { ... }, select("#", ...)
    return function()
        moonloop.sleep(seconds)
        return unpack(values, 1, count)
    end
end

local function failing(message)
    return function() error(message, 0) end
end

local function error_of(fn, ...)
    local ok, err = pcall(fn, ...)
    assert.is_false(ok)
    return err
end

local before
before_each(function() before = core.counts() end)
after_each(function()
    local now = core.counts()
    assert.equal(before.tasks, now.tasks)
    assert.equal(before.timers, now.timers)
end)

describe("gather", function()
    it("gives one value each, in order, nil where there is none", function()
        local values = { n = select("#", moonloop.gather(after(0.02, 1, "more"), after(0), after(0.01, 3))),
            moonloop.gather(after(0.02, 1, "more"), after(0), after(0.01, 3)) }
        assert.same({ n = 3, 1, nil, 3 }, values)
        assert.equal(0, select("#", moonloop.gather()))
    end)

    it("runs all at once", function()
        local running, most = 0, 0
        local function one()
            running = running + 1
            most = math.max(most, running)
            moonloop.sleep(0.01)
            running = running - 1
        end
        moonloop.gather(one, one, one)
        assert.equal(3, most)
    end)

    it("raises the first failure and ends the rest", function()
        assert.equal("boom", error_of(moonloop.gather, forever, failing("boom"), forever).message)
    end)

    it("says which argument is no function", function()
        assert.matches("argument 2 is a nil", error_of(moonloop.gather, forever, nil, forever))
    end)

    it("is ended by a deadline around it", function()
        assert.equal("timeout", error_of(moonloop.timeout, 0.01, moonloop.gather, forever, forever).code)
    end)
end)

describe("map", function()
    it("gives the results in the order of the list", function()
        local out = moonloop.map({ 0.02, 0.01, 0 }, function(seconds, index)
            moonloop.sleep(seconds)
            return index .. ":" .. seconds
        end)
        assert.same({ "1:0.02", "2:0.01", "3:0" }, out)
        assert.same({}, moonloop.map({}, forever))
        assert.same({}, moonloop.map({}, forever, { limit = 3, settle = true }))
    end)

    it("runs no more than the limit at once, and reads an entry when its turn comes", function()
        local running, most, read = 0, 0, 0
        local list = setmetatable({}, { __index = function(_, i)
            read = math.max(read, i)
            return i <= 9 and i or nil
        end, __len = function() return 9 end })
        local ahead = 0
        local out = moonloop.map(list, function(item, index)
            running = running + 1
            most, ahead = math.max(most, running), math.max(ahead, read - index)
            moonloop.sleep(0.001)
            running = running - 1
            return item * 2
        end, { limit = 3 })
        assert.same({ 2, 4, 6, 8, 10, 12, 14, 16, 18 }, out)
        assert.equal(3, most)
        assert.is_true(ahead <= 3)
    end)

    it("raises the first failure, and timeout at the deadline", function()
        for _, limit in ipairs({ 0, 2 }) do
            local options = { limit = limit > 0 and limit or nil, deadline = 0.02 }
            assert.equal("boom", error_of(moonloop.map, { 1, 2, 3 }, function(item)
                if item == 2 then
                    error("boom", 0)
                end
                moonloop.sleep(0.005)
            end, options).message)
            assert.equal("timeout", error_of(moonloop.map, { 1, 2, 3 }, forever, options).code)
        end
    end)

    it("settles: keeps what ended in time, and says why the others have not", function()
        for _, limit in ipairs({ 0, 1, 2 }) do
            local out = moonloop.map({ 0, "fail", 1000, 1000 }, function(item)
                if item == "fail" then
                    error("bad", 0)
                end
                moonloop.sleep(item)
                return "fine"
            end, { settle = true, deadline = 0.03, limit = limit > 0 and limit or nil })
            assert.equal(4, #out)
            assert.same({ ok = true, value = "fine" }, out[1])
            assert.is_false(out[2].ok)
            assert.equal("bad", out[2].err.message)
            assert.is_false(out[3].ok)
            assert.equal("timeout", out[3].err.code)
            assert.equal("timeout", out[4].err.code)
        end
    end)

    it("refuses unknown options and limits that are none", function()
        assert.matches("unknown option timeout", error_of(moonloop.map, {}, forever, { timeout = 1 }))
        assert.matches("scope: unknown option deadlin; did you mean deadline?",
            error_of(moonloop.scope, { deadlin = 1 }, forever), 1, true)
        assert.matches("limit", error_of(moonloop.map, {}, forever, { limit = 0 }))
        assert.matches("expected a list", error_of(moonloop.map, nil, forever))
    end)
end)

describe("race", function()
    it("gives the first to end and which one it was", function()
        assert.same({ "b", 2 }, { moonloop.race(forever, after(0, "b"), after(0.5, "c")) })
        assert.same({ nil, 1 }, { moonloop.race(after(0), forever) })
    end)

    it("raises when the first to end failed", function()
        assert.equal("no", error_of(moonloop.race, forever, failing("no")).message)
        assert.matches("at least one", error_of(moonloop.race))
    end)
end)

describe("any", function()
    it("gives the first to succeed", function()
        assert.same({ "c", 3 }, { moonloop.any(failing("x"), forever, after(0.01, "c")) })
    end)

    it("raises all failures when none succeeds", function()
        local err = error_of(moonloop.any, failing("x"), failing("y"))
        assert.equal("failed", err.code)
        assert.same({ "x", "y" }, { err.errors[1].message, err.errors[2].message })
    end)

    it("is ended from outside", function()
        assert.equal("timeout", error_of(moonloop.timeout, 0.01, moonloop.any, forever, failing("x")).code)
    end)
end)

describe("a failure that nobody waited for", function()
    it("is logged when its parent ends, with where it was spawned", function()
        local path = os.tmpname()
        local file = assert(io.open(path, "w"))
        file:write([[
            local moonloop = require("moonloop")
            moonloop.spawn(function()
                moonloop.spawn(function() error("lost and found") end)
                local seen = moonloop.spawn(function() error("seen by wait") end)
                pcall(seen.wait, seen)
                moonloop.sleep(0.01)
            end):wait()
        ]])
        file:close()
        local text = command.run({ command.moonloop, "run", path }).err
        os.remove(path)
        assert.matches("nobody waited for it: [^\n]*lost and found", text)
        assert.matches("spawned at [^\n]*:3", text)
        assert.is_nil(text:find("seen by wait", 1, true))
    end)
end)
