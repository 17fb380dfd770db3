--- What a client sees while everything that can be changed is changed, under load: nothing.

local probes = require("spec.support.probe")
local process = require("spec.support.process")
local server = require("spec.support.server")

local RELOADS, RECYCLES, RESTARTS = server.rounds(200), server.rounds(50), server.rounds(20)
local UPGRADES, CONFIGS = server.rounds(10), server.rounds(10)

local function app(version)
    return ([[
local moonloop = require("moonloop")
local app = moonloop.app()
app:get("/", function() return "hello\n" end)
app:get("/version", function() return "%d" end)
return app
]]):format(version)
end

local function count(site, text)
    local _, times = site:log():gsub(text, "")
    return times
end

local function wait_count(site, text, times)
    process.wait_for(("%q %d times"):format(text, times), function()
        return count(site, text) >= times
    end, 60)
end

describe("a client under load", function()
    local site, probe

    before_each(function()
        site = server.start({ apps = { ["hello.lua"] = app(1) }, options = { "--workers", "2" } })
        probe = probes.start(site, "/hello/", "hello\n")
        probe:wait_requests(20)
    end)
    after_each(server.clean)

    local function assert_nothing_lost()
        probe:wait_requests(100)
        local result = probe:stop()
        assert.same({}, result.failures)
        assert.is_true(result.requests > 100 and result.fresh > 10)
    end

    it("loses nothing in " .. RELOADS .. " reloads of an app", function()
        for version = 2, RELOADS + 1 do
            site:write("hello.lua", app(version))
            process.wait_for("generation " .. version, function()
                return site:get("/hello/version").body == tostring(version)
            end)
        end
        assert_nothing_lost()
    end)

    it("loses nothing in " .. CONFIGS .. " changes of the configuration and of the number of workers", function()
        for change = 1, CONFIGS do
            process.write(site.dir .. "/moonloop.conf.lua", ("return { keepalive = %d }"):format(10 + change))
            site:signal("HUP")
            assert.equal(0, site:call("scale", tostring(change % 3 + 1)).code)
            wait_count(site, "the configuration has changed: replacing the workers one by one", change)
            site:wait_status("the new workers", function(status)
                local serving = 0
                for _, worker in ipairs(status.workers) do
                    serving = serving + (worker.state == "serving" and 1 or 0)
                end
                return serving == change % 3 + 1
            end)
        end
        assert_nothing_lost()
    end)

    it("loses nothing in " .. RESTARTS .. " rolling restarts and " .. UPGRADES .. " upgrades", function()
        for _ = 1, RESTARTS do
            assert.equal(0, site:call("restart", "--wait").code)
        end
        for times = 1, UPGRADES do
            assert.equal(0, site:call("upgrade").code)
            wait_count(site, "the upgrade is done", times)
        end
        assert_nothing_lost()
    end)
end)

describe("a client of workers that are recycled", function()
    after_each(server.clean)

    local function recycle(option, value, text, times)
        local site = server.start({ apps = { ["hello.lua"] = app(1) }, options = { "--workers", "4", option, value } })
        local probe = probes.start(site, "/hello/", "hello\n")
        wait_count(site, text, times)
        probe:wait_requests(200)
        local result = probe:stop()
        assert.same({}, result.failures)
        assert.is_true(result.requests > 100 and result.fresh > 10, require("cjson").encode(result))
    end

    it("loses nothing in " .. RECYCLES .. " recycles", function()
        recycle("--max-requests", "50", "has reached max_requests", RECYCLES)
    end)

    it("loses nothing in recycles of workers that take too much memory", function()
        recycle("--max-memory", "1K", "has reached max_memory", server.rounds(8))
    end)
end)
