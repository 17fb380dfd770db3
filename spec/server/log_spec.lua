local cjson = require("cjson")
local process = require("spec.support.process")
local server = require("spec.support.server")

local APP = [[
local app = require("moonloop").app()
app:get("/", function() return "hello\n" end)
app:get("/print", function() print("printed by a handler") end)
app:get("/fail/{text...}", function(req) error("failed: " .. req.params.text) end)
return app
]]

local function start(given)
    given.apps = { ["hello.lua"] = APP }
    return server.start(given)
end

describe("the log of a server", function()
    after_each(server.clean)

    it("is one JSON object a line with --log-format json", function()
        local site = start({ options = { "--log-format", "json" } })
        site:write("hello.lua", "x = = 1")
        site:wait_log("is refused")
        local count = 0
        for line in site:log():gmatch("[^\n]+") do
            local entry = cjson.decode(line)
            assert.is_string(entry.message)
            assert.is_string(entry.role)
            assert.matches("^%d%d%d%d%-%d%d%-%d%dT%d%d:%d%d:%d%d%.%d%d%dZ$", entry.time)
            count = count + 1
        end
        assert.is_true(count >= 3)
    end)

    it("has beside it what a handler prints, at once", function()
        local site = start({})
        site:get("/hello/print")
        process.wait_for("what it prints", function() return site.process:out():find("printed by a handler\n") end)
    end)

    it("cannot be forged by what a client sends", function()
        local site = start({})
        site:get("/hello/fail/x%0A2026-11-20T00:00:00.000Z%20error%20master:%20forged%1b%5b2J")
        local log = site:wait_log("forged")
        for line in log:gmatch("[^\n]+") do
            assert.is_nil(line:match("^2026%-11%-20T00:00:00"))
            assert.is_nil(line:find("\27", 1, true))
        end
    end)

    it("begins anew with SIGUSR1, in master and workers, so that it can be rotated", function()
        local path = process.directory() .. "/log"
        local site = start({ options = { "--errorlog", path, "--workers", "2" } })
        assert(os.rename(path, path .. ".1"))
        site:signal("USR1")
        process.wait_for("the new log", function()
            return (process.read(path) or ""):find("logs were opened anew")
        end)
        local old = process.read(path .. ".1")
        site:get("/hello/fail/rotated")
        process.wait_for("the worker in the new log", function()
            return process.read(path):find("failed: rotated")
        end)
        assert.equal(old, process.read(path .. ".1"))
    end)

    it("may be on a full disk: requests are served, and lost lines are counted", function()
        local site = start({ options = { "--errorlog", "/dev/full" } })
        for _ = 1, 5 do
            assert.equal(500, site:get("/hello/fail/x").status)
            assert.equal(200, site:get("/hello/").status)
        end
        local status = site:status()
        assert.is_true(status.log_lines_lost > 0)
        assert.equal(0, status.crashes)
        assert.matches("could not be written", site:call("status").out)
    end)

    it("says how many lines were lost once there is room again", function()
        local dir = process.directory()
        assert(require("posix.unistd").link("/dev/full", dir .. "/log", true))
        local site = start({ options = { "--errorlog", dir .. "/log" } })
        assert.is_true(site:status().log_lines_lost > 0)
        process.remove(dir .. "/log")
        site:signal("USR1")
        process.wait_for("the new log", function()
            return (process.read(dir .. "/log") or ""):find("the log could not be written: %d+ lines are lost")
        end)
    end)

    it("never blocks the server when nobody reads the pipe that it goes to", function()
        local site = server.spawn({
            apps = { ["hello.lua"] = APP }, prefix = "mkfifo log.fifo; exec 2<>log.fifo; exec",
        })
        process.wait_for("the address", function()
            return site.process:out():find("http://", 1, true)
        end)
        site.host, site.port = site.process:out():match("http://([%d.]+):(%d+)")
        site.port = tonumber(site.port)
        for _ = 1, 300 do
            assert.equal(500, site:get("/hello/fail/" .. ("x"):rep(500)).status)
        end
        assert.equal(200, site:get("/hello/").status)
    end)
end)
