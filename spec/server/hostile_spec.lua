--- Apps that misbehave: what they may not do to other apps, to the worker, and to whoever reads the log.

local server = require("spec.support.server")

local VICTIM = [[
local app = require("moonloop").app()
app:get("/", function()
    local t = {}
    table.insert(t, string.rep("v", 3))
    return table.concat(t)
end)
return app
]]

local function app(body)
    return "local moonloop = require(\"moonloop\")\nlocal app = moonloop.app()\n" .. body .. "\nreturn app\n"
end

local function start(apps, ...)
    return server.start({ apps = apps, options = { "--workers", "1", ... } })
end

describe("a hostile app", function()
    after_each(server.clean)

    it("changes Lua's libraries for itself alone", function()
        local site = start({ ["victim.lua"] = VICTIM, ["evil.lua"] = app([[
string.rep = function() return "changed" end
table.insert = nil
require("table").concat = nil
app:get("/", function() return string.rep("x", 3) end)]]) })
        assert.equal("changed", site:get("/evil/").body)
        assert.equal("vvv", site:get("/victim/").body)
    end)

    it("hears at load that a new method of strings would be everybody's", function()
        local site = start({ ["evil.lua"] = app("function string.trim(s) return s end") })
        site:wait_log("evil.lua:3: string.trim is written: the methods of strings belong to all apps")
    end)

    it("cannot end the worker with os.exit", function()
        local site = start({ ["evil.lua"] = app([[app:get("/", function() os.exit(3) end)]]) })
        local pid = site:worker_pids()[1]
        assert.equal(500, site:get("/evil/").status)
        assert.matches("evil.lua:3: os.exit would end the worker", site:log(), 1, true)
        assert.equal(pid, site:worker_pids()[1])
    end)

    it("gets the same reason each time it requires a module that fails", function()
        local site = start({ ["evil/broken.lua"] = 'error("no database")', ["evil/init.lua"] = app([[
app:get("/", function()
    pcall(require, "broken")
    return select(2, pcall(require, "broken"))
end)]]) })
        assert.matches("broken.lua:1: no database", site:get("/evil/").body, 1, true)
    end)

    it("whose on_error fails has that failure in the log, with its place", function()
        local site = start({ ["evil.lua"] = app([[
app:on_error(function() error("second") end)
app:get("/", function() error("first") end)]]) })
        assert.equal(500, site:get("/evil/").status)
        assert.matches("the error handler failed: apps/evil.lua:3: second", site:log(), 1, true)
    end)
end)
