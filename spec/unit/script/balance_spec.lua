local balance = require("moonloop.proxy.balance")
local upstreams = require("moonloop.upstream")

local function servers(...)
    local list = {}
    for i, weight in ipairs({ ... }) do
        list[i] = { url = "http://s" .. i, weight = weight, active = 0 }
    end
    return list
end

local function all()
    return true
end

local function picks(choose, count, can_take)
    local names = {}
    for i = 1, count do
        local server = choose(can_take or all)
        names[i] = server and server.url:match("%d+$") or "-"
    end
    return table.concat(names)
end

describe("round robin", function()
    it("goes in turn", function()
        assert.equal("123123", picks(balance.round_robin(servers(1, 1, 1)), 6))
    end)

    it("spreads weights evenly", function()
        assert.equal("1121311", picks(balance.round_robin(servers(5, 1, 1)), 7))
    end)

    it("leaves out who cannot take, and nobody can", function()
        local choose = balance.round_robin(servers(1, 1, 1))
        assert.equal("1313", picks(choose, 4, function(server) return server.url ~= "http://s2" end))
        assert.equal("-", picks(choose, 1, function() return false end))
    end)
end)

describe("least connections", function()
    it("takes the one with the fewest for its weight", function()
        local list = servers(1, 2, 1)
        local choose = balance.least_connections(list)
        for _ = 1, 8 do
            local server = choose(all)
            server.active = server.active + 1
        end
        assert.equal(2, list[1].active)
        assert.equal(4, list[2].active)
        assert.equal(2, list[3].active)
        list[2].active = 0
        assert.equal("http://s2", choose(all).url)
    end)
end)

describe("the hash", function()
    local function of(list)
        return balance.hash(list, function(req) return req end)
    end

    local function spread(choose, count)
        local where, counts = {}, {}
        for i = 1, count do
            local url = choose(all, "user-" .. i).url
            where[i], counts[url] = url, (counts[url] or 0) + 1
        end
        return where, counts
    end

    it("gives a key the same server, and each server its share", function()
        local choose = of(servers(1, 1, 2))
        local where, counts = spread(choose, 4000)
        assert.same(where, (spread(choose, 4000)))
        assert.is_true(counts["http://s1"] > 600 and counts["http://s1"] < 1500, counts["http://s1"])
        assert.is_true(counts["http://s3"] > 1400 and counts["http://s3"] < 2600, counts["http://s3"])
    end)

    it("moves only the keys of a server that is left out", function()
        local choose = of(servers(1, 1, 1, 1))
        local before = spread(choose, 1000)
        for i = 1, 1000 do
            local after = choose(function(server) return server.url ~= "http://s2" end, "user-" .. i).url
            assert.is_true(after == before[i] or before[i] == "http://s2")
        end
    end)
end)

describe("moonloop.upstream", function()
    local function refused(text, options)
        local ok, err = pcall(function()
            upstreams.upstream(options)
        end)
        assert.is_false(ok)
        assert.truthy(tostring(err):find(text, 1, true), tostring(err))
        assert.matches("balance_spec.lua:%d+: ", tostring(err))
    end

    it("names what is wrong with its options", function()
        refused("expected at least one URL", {})
        refused("unknown option ballance", { "http://a", ballance = "hash" })
        refused("expected round_robin, least_connections or hash", { "http://a", balance = "random" })
        refused("option key goes with balance", { "http://a", key = function() end })
        refused("weight: expected 1 to 1000", { { url = "http://a", weight = 0 } })
        refused("no query and no user", { "http://a/?x" })
        refused("no query and no user", { "http://u:p@a/" })
        refused("a:80", { "a:80" })
        refused("fail_timeout: expected seconds", { "http://a", fail_timeout = 0 })
        refused("max_fails: expected 0 or more", { "http://a", max_fails = -1 })
    end)

    it("takes a server out after max_fails, lets one request try it, and takes it back", function()
        local testing = require("moonloop.testing")
        testing.virtual(function()
            local moonloop = require("moonloop")
            local group = upstreams.upstream({ "http://a", "http://b", max_fails = 2, fail_timeout = 10 })
            local function turn(failure)
                local server = group:take({}, {})
                group:done(server, failure)
                return server
            end
            local a = turn("x")
            turn(nil)
            assert.equal("up", group:status()[1].state)
            turn("x")
            assert.equal("down", group:status()[1].state)
            assert.equal(10, group:status()[1].down_for)
            for _ = 1, 4 do
                assert.are_not.equal(a, turn(nil))
            end
            moonloop.sleep(10)
            local probe
            repeat
                probe = group:take({}, {})
            until probe == a
            assert.equal("probing", group:status()[1].state)
            for _ = 1, 4 do
                assert.are_not.equal(a, group:take({}, {})) -- one at a time
            end
            group:done(probe, "still")
            assert.equal("down", group:status()[1].state)
            moonloop.sleep(10)
            repeat
                probe = group:take({}, {})
            until probe == a
            group:done(probe, nil)
            assert.equal("up", group:status()[1].state)
        end)
    end)

    it("never takes out the only one", function()
        local group = upstreams.upstream({ "http://a", max_fails = 1 })
        for _ = 1, 5 do
            group:done(group:take({}, {}), "x")
        end
        assert.equal("up", group:status()[1].state)
        assert.equal(5, group:status()[1].failures)
    end)

    it("counts failures that lie within fail_timeout alone", function()
        require("moonloop.testing").virtual(function()
            local group = upstreams.upstream({ "http://a", "http://b", max_fails = 2, fail_timeout = 1 })
            for _ = 1, 6 do
                group:done(group:take({}, {}), "x")
                require("moonloop").sleep(0.7)
            end
            assert.equal("up", group:status()[1].state)
            assert.equal("up", group:status()[2].state)
        end)
    end)
end)
