--- Caches. The clock is a variable.

local clock = require("moonloop.clock")
local moonloop = require("moonloop")
local tasks = require("spec.support.tasks")

local raised, until_true = tasks.raised, tasks.until_true

describe("a cache", function()
    local real_now = clock.now
    local now, check_leaks

    before_each(function()
        check_leaks = tasks.leak_check()
        now = 1000
        clock.now = function() return now end
    end)
    after_each(function()
        clock.now = real_now
        check_leaks()
    end)

    it("keeps values for their time", function()
        local cache = moonloop.cache({ ttl = 10 })
        cache:set("a", 1)
        cache:set("b", false, 20)
        assert.equal(1, cache:get("a"))
        now = now + 10
        assert.is_nil(cache:get("a"))
        assert.is_false(cache:get("b"))
        now = now + 10
        assert.is_nil(cache:get("b"))
        assert.equal(0, cache.length)
        assert.equal(2, cache.hits)
        assert.equal(2, cache.misses)
        local forever = moonloop.cache()
        forever:set(1, "x")
        now = now + 1e9
        assert.equal("x", forever:get(1))
    end)

    it("drops what was used longest ago when there is no place", function()
        local cache = moonloop.cache({ size = 3 })
        for i = 1, 3 do
            cache:set(i, i)
        end
        cache:get(1)
        cache:set(2, "new")
        cache:set(4, 4)
        assert.is_nil(cache:get(3))
        assert.equal(1, cache:get(1))
        assert.equal("new", cache:get(2))
        assert.equal(3, cache.length)
        assert.equal(1, cache.evictions)
    end)

    it("deletes and clears", function()
        local cache = moonloop.cache()
        cache:set("a", 1)
        assert.is_true(cache:delete("a"))
        assert.is_false(cache:delete("a"))
        cache:set("b", 1)
        cache:clear()
        assert.is_nil(cache:get("b"))
        assert.equal(0, cache.length)
        cache:set("b", 2)
        assert.equal(2, cache:get("b"))
    end)

    it("loads what is missing, once for all who ask", function()
        local cache, loads, go = moonloop.cache({ ttl = 10 }), 0, moonloop.event()
        local function loader(key)
            loads = loads + 1
            go:wait()
            return key .. loads, 5
        end
        local askers = {}
        for i = 1, 20 do
            askers[i] = moonloop.spawn(cache.get, cache, "k", loader)
        end
        until_true(function() return go.waiting == 1 end)
        go:set()
        for i = 1, 20 do
            assert.equal("k1", (askers[i]:wait()))
        end
        assert.equal(1, loads)
        assert.equal(20, cache.misses)
        assert.equal("k1", cache:get("k", loader))
        now = now + 5 -- as the loader said
        assert.equal("k2", cache:get("k", loader))
    end)

    it("does not keep an error, nor nil unless it is told for how long", function()
        local cache, loads = moonloop.cache(), 0
        local function fail() loads = loads + 1 error("no answer", 0) end
        assert.equal("no answer", raised(cache.get, cache, "k", fail))
        assert.equal("no answer", raised(cache.get, cache, "k", fail))
        assert.equal(2, loads)
        local function nothing() loads = loads + 1 end
        assert.is_nil(cache:get("k", nothing))
        assert.is_nil(cache:get("k", nothing))
        assert.equal(4, loads)
        cache = moonloop.cache({ negative_ttl = 2 })
        assert.is_nil(cache:get("k", nothing))
        assert.is_nil(cache:get("k", nothing))
        assert.equal(5, loads)
        now = now + 2
        assert.is_nil(cache:get("k", nothing))
        assert.equal(6, loads)
    end)

    it("goes on loading when the one who asked first is cancelled, and stops when all are", function()
        local cache, go, ended = moonloop.cache(), moonloop.event(), nil
        local function loader()
            local ok, err = pcall(go.wait, go)
            ended = ok or err.code
            return ok and "loaded" or error(err, 0)
        end
        local first = moonloop.spawn(cache.get, cache, "k", loader)
        local second = moonloop.spawn(cache.get, cache, "k", loader)
        until_true(function() return go.waiting == 1 end)
        first:cancel()
        pcall(first.wait, first)
        assert.is_nil(ended)
        second:cancel()
        pcall(second.wait, second)
        until_true(function() return ended end)
        assert.equal("cancelled", ended)
        go:set()
        assert.equal("loaded", cache:get("k", loader))
    end)

    it("does not keep what was loaded before a delete, a set or a clear", function()
        for _, change in ipairs({ "delete", "set", "clear" }) do
            local cache, go = moonloop.cache(), moonloop.event()
            local asker = moonloop.spawn(cache.get, cache, "k", function()
                go:wait()
                return "old"
            end)
            until_true(function() return go.waiting == 1 end)
            cache[change](cache, "k", "new")
            go:set()
            assert.equal("old", (asker:wait()))
            assert.equal(change == "set" and "new" or nil, cache:get("k"))
        end
    end)

    it("gives an old value while one load brings a new one", function()
        local cache, loads, go = moonloop.cache({ ttl = 10, stale = 5 }), 0, moonloop.event()
        local function loader()
            loads = loads + 1
            go:wait()
            return "new"
        end
        cache:set("k", "old")
        now = now + 12
        assert.equal("old", cache:get("k", loader))
        assert.equal("old", cache:get("k", loader))
        until_true(function() return go.waiting == 1 end)
        assert.equal(1, loads)
        go:set()
        until_true(function() return cache:get("k") == "new" end)
        now = now + 15
        assert.is_nil(cache:get("k"))
        until_true(function() return require("moonloop.core.task").counts().tasks == 1 end)
    end)

    it("goes on with an old value when the load of a new one fails, and waits for it when that is too old", function()
        local cache, go = moonloop.cache({ ttl = 10, stale = 5, name = "rates" }), moonloop.event()
        cache:set("k", "old")
        now = now + 12
        assert.equal("old", cache:get("k", function() error("down", 0) end))
        until_true(function() return require("moonloop.core.task").counts().tasks == 1 end)
        assert.equal("old", cache:get("k", function() go:wait() return "new" end))
        until_true(function() return go.waiting == 1 end)
        now = now + 3
        local asker = moonloop.spawn(cache.get, cache, "k", function() return "another load" end)
        moonloop.sleep(0)
        go:set()
        assert.equal("new", (asker:wait()))
        until_true(function() return require("moonloop.core.task").counts().tasks == 1 end)
        assert.is_nil(next(cache.flights.flights))
    end)

    it("lets only so many wait for one load", function()
        local cache, go = moonloop.cache({ queue = 1 }), moonloop.event()
        local asker = moonloop.spawn(cache.get, cache, "k", function() return go:wait() end)
        until_true(function() return go.waiting == 1 end)
        assert.equal("full", select(2, raised(cache.get, cache, "k", function() end)))
        go:set(1)
        asker:wait()
    end)

    it("stays within its size, whatever happens", function()
        local cache = moonloop.cache({ size = 10, ttl = 3 })
        local at = 1
        for _ = 1, 20000 do
            at = at * 16807 % 2147483647
            local key, action = at % 25, at % 7
            if action < 3 then
                cache:set(key, at)
            elseif action == 3 then
                cache:delete(key)
            elseif action == 4 then
                now = now + 0.1
            else
                cache:get(key)
            end
            assert(cache.length <= 10)
        end
        local count, entry = 0, cache.head.after
        while entry ~= cache.head do
            count, entry = count + 1, entry.after
        end
        assert.equal(cache.length, count)
    end)

    it("refuses what makes no sense, with the caller's line", function()
        local cache = moonloop.cache()
        local function refused(pattern, fn)
            assert.matches("cache_spec.lua:%d+: cache" .. pattern, raised(fn))
        end
        refused(": nil is no key", function() cache:get(nil) end)
        refused(": .*NaN", function() cache:set(0 / 0, 1) end)
        refused(":set: nil cannot be kept", function() cache:set("a", nil) end)
        refused(":set: ttl: expected a number", function() cache:set("a", 1, -1) end)
        refused(":get: expected a function", function() cache:get("a", 5) end)
        refused(": ttl: expected a number", function() local _ = moonloop.cache({ ttl = 0 / 0 }) end)
        refused(": size: expected an integer from 1", function() local _ = moonloop.cache({ size = 0 }) end)
        refused(": unknown option tll; did you mean ttl%?", function() local _ = moonloop.cache({ tll = 1 }) end)
        assert.equal("misuse", select(2, raised(cache.get, cache, "a", function() return 1, -1 end)))
    end)
end)
