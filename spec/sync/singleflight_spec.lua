--- Single-flight.

local moonloop = require("moonloop")
local tasks = require("spec.support.tasks")

local raised, until_true = tasks.raised, tasks.until_true

describe("singleflight", function()
    local check_leaks

    before_each(function() check_leaks = tasks.leak_check() end)
    after_each(function() check_leaks() end)

    it("runs once for a key, and gives all callers the results", function()
        local runs, go = 0, moonloop.event()
        local function fetch()
            runs = runs + 1
            go:wait()
            return runs, "second"
        end
        local callers = {}
        for i = 1, 5 do
            callers[i] = moonloop.spawn(moonloop.singleflight, "key", fetch)
        end
        until_true(function() return go.waiting == 1 end)
        go:set()
        for i = 1, 5 do
            assert.same({ 1, "second" }, { callers[i]:wait() })
        end
        assert.same({ 2, "second" }, { moonloop.singleflight("key", fetch) }) -- a new run: nothing is kept
    end)

    it("runs different keys at once, of any type", function()
        local order = {}
        moonloop.map({ "1", 1, true, {} }, function(key, i)
            moonloop.singleflight(key, function()
                order[#order + 1] = i
                moonloop.sleep(0)
                order[#order + 1] = i
            end)
        end)
        assert.same({ 1, 2, 3, 4, 1, 2, 3, 4 }, order)
    end)

    it("raises to all callers what the run raised", function()
        local runs = 0
        local results = moonloop.map({ 1, 2, 3 }, function()
            return moonloop.singleflight("bad", function()
                runs = runs + 1
                moonloop.sleep(0)
                error("no answer", 0)
            end)
        end, { settle = true })
        for i = 1, 3 do
            assert.equal("no answer", results[i].err.message)
        end
        assert.equal(1, runs)
    end)

    it("goes on for the others when a caller is cancelled, even the one who began it", function()
        local go = moonloop.event()
        local function fetch() return go:wait() end
        local first = moonloop.spawn(moonloop.singleflight, "key", fetch)
        local second = moonloop.spawn(moonloop.singleflight, "key", fetch)
        until_true(function() return go.waiting == 1 end)
        first:cancel()
        assert.equal("cancelled", select(2, raised(first.wait, first)))
        assert.equal(1, go.waiting)
        go:set("here")
        assert.equal("here", second:wait())
    end)

    it("is cancelled when all have left; the next caller begins anew", function()
        local go, ends = moonloop.event(), {}
        local function fetch()
            local ok, err = pcall(go.wait, go)
            ends[#ends + 1] = ok and "ended" or err.code
            if not ok then
                error(err, 0)
            end
            return "fresh"
        end
        local callers = { moonloop.spawn(moonloop.singleflight, "key", fetch),
            moonloop.spawn(moonloop.singleflight, "key", fetch) }
        until_true(function() return go.waiting == 1 end)
        for _, caller in ipairs(callers) do
            caller:cancel()
        end
        until_true(function() return callers[2].state end)
        local late = moonloop.spawn(moonloop.singleflight, "key", fetch)
        until_true(function() return go.waiting == 1 end)
        go:set()
        assert.equal("fresh", late:wait())
        assert.same({ "cancelled", "ended" }, ends)
        for _, caller in ipairs(callers) do
            pcall(caller.wait, caller)
        end
    end)

    it("refuses to wait for itself, directly, in a child, and in a ring of keys", function()
        local function again() return moonloop.singleflight("a", again) end
        local text, code = raised(moonloop.singleflight, "a", again)
        assert.equal("deadlock", code)
        assert.matches("waits for itself", text)
        code = select(2, raised(moonloop.singleflight, "a", function() moonloop.gather(again) end))
        assert.equal("deadlock", code)
        local function b() return moonloop.singleflight("b", function() return moonloop.singleflight("a", b) end) end
        text, code = raised(moonloop.singleflight, "a", b)
        assert.equal("deadlock", code)
        assert.matches("waits for", text)
    end)

    it("keeps the keys of apps apart", function()
        local function app()
            return setfenv(function() return "of the app" end, setmetatable({}, { __index = _G }))
        end
        local go = moonloop.event()
        local ours = moonloop.spawn(moonloop.singleflight, "key", function() return go:wait() end)
        until_true(function() return go.waiting == 1 end)
        assert.equal("of the app", moonloop.singleflight("key", app()))
        go:set("ours")
        assert.equal("ours", ours:wait())
    end)

    it("lets only so many wait for one run", function()
        local go = moonloop.event()
        local function fetch() return go:wait() end
        local first = moonloop.spawn(moonloop.singleflight, "key", fetch, { queue = 1 })
        until_true(function() return go.waiting == 1 end)
        assert.equal("full", select(2, raised(moonloop.singleflight, "key", fetch, { queue = 1 })))
        go:set()
        first:wait()
    end)

    it("refuses keys that cannot be found again, and what is no function", function()
        local function fn() end
        assert.matches("singleflight_spec.lua:%d+: singleflight: nil is no key",
            raised(function() moonloop.singleflight(nil, fn) end))
        assert.matches("NaN", raised(function() moonloop.singleflight(0 / 0, fn) end))
        assert.matches("singleflight_spec.lua:%d+: singleflight: expected a function, got 5",
            raised(function() moonloop.singleflight("a", 5) end))
    end)
end)
