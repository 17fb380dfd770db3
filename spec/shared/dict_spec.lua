--- moonloop.shared inside the runtime. What takes several processes: spec/shared/processes_spec.lua and
--- spec/server/shared_spec.lua.

local errors = require("moonloop.util.errors")
local moonloop = require("moonloop")
local shared = require("moonloop.shared")

local function raised(fn, ...)
    local ok, err = pcall(fn, ...)
    assert.is_false(ok)
    return err
end

local function code_of(fn, ...)
    local err = raised(fn, ...)
    assert.is_true(errors.is(err), tostring(err))
    return err.code
end

describe("a shared dictionary", function()
    local dict

    before_each(function()
        dict = moonloop.shared("spec")
        dict:clear()
        moonloop.shared("spec2"):clear()
    end)

    it("keeps booleans, numbers, strings and nested tables", function()
        for _, value in ipairs({ true, false, 0, -1.5, 2 ^ 53, math.huge, "", "a\0b", ("x"):rep(100000),
            { 1, { two = { 3, "four" }, [5] = false } } }) do
            dict:set("key", value)
            assert.same(value, dict:get("key"))
        end
        assert.is_nil(dict:get("none"))
        assert.equal("default", dict:get("none", "default"))
        dict:set("no", false)
        assert.is_false(dict:get("no", "default"))
    end)

    it("gives copies of tables", function()
        local list = { 1 }
        dict:set("list", list)
        list[1] = 2
        dict:get("list")[1] = 3
        assert.same({ 1 }, dict:get("list"))
    end)

    it("keeps names apart, and gives everyone who asks the same", function()
        dict:set("a", 1)
        moonloop.shared("spec2"):set("b", 1)
        assert.is_nil(moonloop.shared("spec2"):get("a"))
        assert.is_nil(moonloop.shared("spe"):get("ca"))
        assert.equal(1, moonloop.shared("spec"):get("a"))
    end)

    it("is the same in offload threads", function()
        dict:set("a", { 1 })
        dict:incr("n")
        local seen, n = moonloop.offload(function()
            local there = require("moonloop").shared("spec")
            return there:get("a"), there:incr("n")
        end)
        assert.same({ 1 }, seen)
        assert.equal(2, n)
        assert.equal(3, dict:incr("n"))
    end)

    it("is the same in the processes of a pool", function()
        dict:incr("n", 5)
        local pool = moonloop.pool({ kind = "process", size = 1, name = "shared" })
        assert.equal(6, pool:run(function()
            local there = require("moonloop").shared("spec")
            return there:incr("n")
        end))
        assert.equal(7, dict:incr("n"))
    end)

    it("takes numbers as keys, as what they are written as", function()
        dict:set(42, "a")
        assert.equal("a", dict:get("42"))
        assert.equal("a", dict:get(42))
        assert.is_true(dict:delete(42))
    end)

    it("removes", function()
        dict:set("a", 1)
        assert.is_true(dict:delete("a"))
        assert.is_false(dict:delete("a"))
        dict:set("a", 1)
        dict:set("a", nil)
        assert.is_nil(dict:get("a"))
    end)

    it("adds only where nothing is", function()
        assert.is_true(dict:add("a", 1))
        assert.is_false(dict:add("a", 2))
        assert.equal(1, dict:get("a"))
    end)

    it("lists keys in order, those with a prefix, up to a limit", function()
        for _, key in ipairs({ "b", "a2", "a1", "c", "" }) do
            dict:set(key, 1)
        end
        moonloop.shared("spec2"):set("a3", 1)
        assert.same({ "", "a1", "a2", "b", "c" }, dict:keys())
        assert.same({ "a1", "a2" }, dict:keys("a"))
        assert.same({ "a1" }, dict:keys("a", 1))
        dict:clear("a")
        assert.same({ "", "b", "c" }, dict:keys())
    end)

    describe("counting", function()
        it("begins at nothing and adds", function()
            assert.equal(1, dict:incr("n"))
            assert.equal(3.5, dict:incr("n", 2.5))
            assert.equal(2.5, dict:incr("n", -1))
            assert.equal(2.5, dict:get("n"))
            assert.equal(11, dict:incr("m", 1, { init = 10 }))
            assert.equal(12, dict:incr("m", 1, { init = 10 }))
        end)

        it("goes on from what was set, and sees what is set meanwhile", function()
            dict:set("n", 5)
            assert.equal(6, dict:incr("n"))
            dict:set("n", 1)
            assert.equal(1, dict:get("n"))
            assert.equal(2, dict:incr("n"))
            dict:delete("n")
            assert.is_nil(dict:get("n"))
            assert.equal(1, dict:incr("n"))
            assert.is_true(dict:cas("n", 1, 7))
            assert.equal(8, dict:incr("n"))
            dict:set("n", "text")
            assert.equal("type", code_of(dict.incr, dict, "n"))
            assert.equal("text", dict:get("n"))
        end)

        it("loses nothing when a counter's place is used again by others", function()
            for round = 1, 20 do
                for i = 1, 50 do
                    assert.equal(1, dict:incr("n" .. i), round)
                    assert.equal(2, dict:incr("n" .. i), round)
                end
                if round % 2 == 0 then
                    dict:clear()
                else
                    for i = 50, 1, -1 do
                        dict:delete("n" .. i)
                    end
                end
            end
            assert.equal(0, #dict:keys())
        end)

        it("refuses sums that are no numbers", function()
            dict:incr("n", math.huge)
            assert.equal("range", code_of(dict.incr, dict, "n", -math.huge))
            assert.equal(math.huge, dict:get("n"))
            assert.matches("expected a number to add, got nan", raised(dict.incr, dict, "n", 0 / 0))
        end)

        it("does not prolong the time of a number that is there", function()
            assert.equal(1, dict:incr("n", 1, 30))
            moonloop.sleep(0.01)
            assert.equal(2, dict:incr("n", 1, 60))
            local left = dict:ttl("n")
            assert.is_true(left < 29.995, left)
        end)

        it("is exact from several threads at once", function()
            local tasks = {}
            for i = 1, 4 do
                tasks[i] = moonloop.spawn(moonloop.offload, function()
                    local there = require("moonloop").shared("spec")
                    for j = 1, 20000 do
                        there:incr("n")
                        if j % 500 == 0 then
                            there:update("list", function(list)
                                list = list or {}
                                list[#list + 1] = j
                                return list
                            end)
                            there:cas("n", there:get("n"), there:get("n"))
                        end
                    end
                end)
            end
            for i = 1, 4 do
                tasks[i]:wait()
            end
            assert.equal(160, #dict:get("list"))
            assert.is_true(dict:get("n") <= 80000)
        end)
    end)

    describe("expiring", function()
        it("loses what has had its time", function()
            dict:set("a", 1, 0.02)
            dict:incr("n", 1, 0.02)
            assert.is_true(dict:add("b", 1, 0.02))
            dict:set("c", 1, 60)
            assert.is_true(dict:ttl("a") <= 0.02)
            assert.equal(math.huge, (function()
                dict:set("d", 1)
                return dict:ttl("d")
            end)())
            moonloop.sleep(0.05)
            for _, key in ipairs({ "a", "n", "b" }) do
                assert.is_nil(dict:get(key), key)
                assert.is_nil(dict:ttl(key), key)
            end
            assert.same({ "c", "d" }, dict:keys())
            assert.equal(1, dict:incr("n"))
            assert.is_true(dict:add("a", 2))
            assert.is_false(dict:delete("b"))
        end)

        it("keeps the time that an entry has when cas and update change it, and drops it when it is set", function()
            dict:set("a", 1, 60)
            assert.is_true(dict:cas("a", 1, 2))
            assert.is_true(dict:ttl("a") <= 60)
            dict:update("a", function(n) return n + 1 end)
            assert.is_true(dict:ttl("a") <= 60)
            dict:update("a", function(n) return n + 1 end, 600)
            assert.is_true(dict:ttl("a") > 60)
            dict:set("a", 1)
            assert.equal(math.huge, dict:ttl("a"))
        end)

        it("gives its room back, at the latest when it is swept", function()
            shared.sweep()
            local before = shared.stats()
            for i = 1, 200 do
                dict:set("k" .. i, "x", 0.01)
                dict:incr("n" .. i, 1, 0.01)
            end
            moonloop.sleep(0.03)
            shared.sweep()
            local stats = shared.stats()
            assert.equal(before.entries, stats.entries)
            assert.equal(before.counters, stats.counters)
            assert.equal(before.used_bytes, stats.used_bytes)
            assert.is_true(stats.expired >= before.expired + 400)
        end)
    end)

    describe("compare and swap", function()
        it("compares by value, tables by what is in them", function()
            assert.is_true(dict:cas("a", nil, 1))
            assert.is_false(dict:cas("a", nil, 2))
            assert.is_false(dict:cas("a", "1", 2))
            assert.is_true(dict:cas("a", 1, "x"))
            assert.is_true(dict:cas("a", "x", true))
            assert.is_false(dict:cas("a", false, 1))
            assert.is_true(dict:cas("a", true, { b = 1, c = { 2, d = 3 } }))
            assert.is_false(dict:cas("a", { b = 1, c = { 2 } }, 1))
            assert.is_false(dict:cas("a", { b = 1, c = { 2, d = 3 }, e = 1 }, 1))
            assert.is_true(dict:cas("a", { c = { d = 3, [1] = 2 }, b = 1 }, nil))
            assert.is_nil(dict:get("a"))
        end)

        it("counts a counter as the number it has", function()
            dict:incr("n", 3)
            assert.is_false(dict:cas("n", 2, 10))
            assert.equal(4, dict:incr("n"))
            assert.is_true(dict:cas("n", 4, nil))
            assert.equal(1, dict:incr("n"))
        end)

        it("is what update does, again when it has to", function()
            local calls = 0
            dict:set("a", 1)
            assert.equal(30, dict:update("a", function(value)
                calls = calls + 1
                if calls == 1 then
                    dict:set("a", 3)
                end
                return value * 10
            end))
            assert.equal(2, calls)
            assert.equal(30, dict:get("a"))
            assert.is_nil(dict:update("a", function() end))
            assert.is_nil(dict:get("a"))
            dict:set("a", 0 / 0)
            assert.equal(1, dict:update("a", function() return 1 end))
        end)
    end)

    describe("bad input", function()
        it("is told with what is expected", function()
            assert.matches("get: expected a string or a number as the key, got nil", raised(dict.get, dict))
            assert.matches("set: expected a string or a number as the key, got table", raised(dict.set, dict, {}, 1))
            assert.matches("set: expected nil, a boolean, a number, a string or a table, got function",
                raised(dict.set, dict, "a", print))
            assert.matches("set: the table cannot be kept: ", raised(dict.set, dict, "a", { print }))
            local ring = {}
            ring.ring = ring
            assert.matches("set: the table cannot be kept: ", raised(dict.set, dict, "a", ring))
            for _, ttl in ipairs({ 0, -1, 0 / 0, math.huge, "5" }) do
                assert.matches("set: expected more than 0 and at most 3200000000 seconds, got ",
                    raised(dict.set, dict, "a", 1, ttl))
                assert.matches("incr: expected more than 0 and", raised(dict.incr, dict, "a", 1, ttl))
            end
            assert.matches("incr: unknown option tll; did you mean ttl?", raised(dict.incr, dict, "a", 1, { tll = 1 }))
            assert.matches("add: expected a value, got nil", raised(dict.add, dict, "a"))
            assert.matches("update: expected a function, got nil", raised(dict.update, dict, "a"))
            assert.matches("keys: expected a limit", raised(dict.keys, dict, "", 0))
            assert.matches("shared: expected a name of 1 to 64 bytes, got nil", raised(moonloop.shared))
            assert.matches("shared: expected a name", raised(moonloop.shared, ("x"):rep(65)))
            assert.matches("shared: expected a name", raised(moonloop.shared, "a\0b"))
            assert.matches("shared: unknown option evcit; did you mean evict?",
                raised(moonloop.shared, "a", { evcit = 1 }))
            assert.same({}, dict:keys())
        end)

        it("that is too large has a code", function()
            assert.equal("too_large", code_of(dict.set, dict, ("k"):rep(600), 1))
            assert.matches("at most 506 bytes", raised(dict.get, dict, ("k"):rep(507)).message)
            dict:set(("k"):rep(506), 1)
            assert.equal(1, dict:get(("k"):rep(506)))
            assert.equal("too_large", code_of(dict.set, dict, "a", ("x"):rep(17 * 1024 * 1024)))
        end)
    end)
end)
