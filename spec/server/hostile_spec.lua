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

    describe("that calls itself by way of C without end", function()
        local BODY = [[
local function f() return (string.gsub("a", "a", function() return f() end)) end
app:get("/", function() return f() end)
app:get("/thread", { run = "thread" }, function() return f() end)
app:get("/pid", function() return "fine" end)]]

        for _, target in ipairs({ "/evil/", "/evil/thread" }) do
            it("is answered 500 at " .. target .. " and the worker lives", function()
                local site = start({ ["evil.lua"] = app(BODY) }, "--timeout", "120")
                local pid = site:worker_pids()[1]
                local connection = site:connect()
                connection:set_timeout(120) -- thousands of C frames, for each of which the unwinder looks at all
                assert.equal(500, connection:request("GET", target).status)
                assert.matches("stack overflow", site:log(), 1, true)
                assert.equal("fine", site:get("/evil/pid").body)
                assert.equal(pid, site:worker_pids()[1])
            end)
        end
    end)

    it("names the handler of an answer that cannot be sent, and what an error table says", function()
        local site = start({ ["evil.lua"] = app([[
app:get("/number", function() return 5 end)
app:get("/table", function() error({ message = "out of stock", code = "stock" }) end)]]) })
        assert.equal(500, site:get("/evil/number").status)
        assert.matches("apps/evil.lua:3: a handler returns a string", site:log(), 1, true)
        assert.equal(500, site:get("/evil/table").status)
        assert.matches("out of stock request_id", site:log(), 1, true)
    end)

    it("that requires a module that is not there hears where it was looked for", function()
        local site = start({ ["load.lua"] = 'require("nope")', ["evil.lua"] = app([[
app:get("/", function()
    local missing = require("missing")
    return missing
end)]]) })
        site:wait_log('load.lua:1: module "nope" is neither in apps/load, apps/_lib or apps nor installed')
        assert.equal(500, site:get("/evil/").status)
        site:wait_log('apps/evil.lua:4: module "missing" is neither in apps/evil, apps/_lib or apps nor installed')
    end)
end)
