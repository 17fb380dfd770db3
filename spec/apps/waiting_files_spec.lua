--- Files of an app that wait while they are loaded: modules that a handler requires, on_start, and main chunks.

local moonloop = require("moonloop")
local process = require("spec.support.process")
local testing = require("moonloop.testing")

local SLOW_MODULE = [[
    local moonloop = require("moonloop")
    LOADS.count = LOADS.count + 1
    moonloop.sleep(60)
    return { answer = 42 }
]]

local APP = [[
    local moonloop = require("moonloop")
    local app = moonloop.app()
    local loads = { count = 0 }
    rawset(_G, "LOADS", loads)
    local started
    app:on_start(function()
        moonloop.sleep(30)
        started = require("settings").name
    end)
    app:get("/slow", { timeout = 600 }, function() return tostring(require("slow").answer) end)
    app:get("/loads", function() return tostring(loads.count) end)
    app:get("/started", function() return tostring(started) end)
    app:get("/short", function() return (moonloop.try(moonloop.timeout, 1, require, "slow")) or "too slow" end)
    app:get("/ring", function() return select(2, pcall(require, "ring")) end)
    app:get("/failing", function()
        local _, first = pcall(require, "failing")
        return tostring(first)
    end)
    return app
]]

local FILES = {
    ["app/init.lua"] = APP,
    ["app/slow.lua"] = SLOW_MODULE,
    ["app/settings.lua"] = [[require("moonloop").sleep(10) return { name = "settled" }]],
    ["app/ring.lua"] = [[require("moonloop").sleep(1) return require("ring2")]],
    ["app/ring2.lua"] = [[require("moonloop").sleep(1) return require("ring")]],
    ["app/failing.lua"] = [[require("moonloop").sleep(1) error("not today", 0)]],
}

local function open(files)
    local dir = process.directory() .. "/apps"
    for name, text in pairs(files) do
        process.write(dir .. "/" .. name, text)
    end
    return testing.client(dir)
end

describe("a file that waits while it is loaded", function()
    after_each(process.clean)

    it("is loaded once, and everyone who requires it meanwhile waits for that", function()
        local client = open(FILES)
        testing.virtual(function()
            local texts = moonloop.map({ 1, 2, 3 }, function()
                return client:get("/app/slow", { timeout = 600 }).text
            end)
            assert.same({ "42", "42", "42" }, texts)
            assert.equal("1", client:get("/app/loads").text)
        end)
        client:close()
    end)

    it("is given up at the deadline of who requires it; the next one tries again", function()
        local client = open(FILES)
        testing.virtual(function()
            assert.equal("too slow", client:get("/app/short").text)
            assert.equal("42", client:get("/app/slow", { timeout = 600 }).text)
            assert.equal("2", client:get("/app/loads").text)
        end)
        client:close()
    end)

    it("is told when it is required in a ring, and raises what it raises", function()
        local client = open(FILES)
        testing.virtual(function()
            assert.matches('module "ring" is required in a ring', client:get("/app/ring").text)
            assert.same({ "not today", "not today" }, moonloop.map({ 1, 2 }, function()
                return client:get("/app/failing").text
            end))
        end)
        client:close()
    end)

    it("may be what on_start waits for", function()
        testing.virtual(function()
            local client = open(FILES)
            moonloop.sleep(41)
            assert.equal("settled", client:get("/app/started").text)
            client:close()
        end)
    end)

    it("is refused as the main chunk of an app, with the place and the way out", function()
        local ok, err = pcall(open, { ["app.lua"] = 'require("moonloop").sleep(1)\nreturn require("moonloop").app()' })
        assert.is_false(ok)
        assert.matches("wait in a handler, or in app:on_start", err)
        assert.matches("apps/app.lua:1", err)
    end)
end)
