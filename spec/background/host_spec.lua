local process = require("spec.support.process")
local testing = require("moonloop.testing")
local moonloop = require("moonloop")

describe("background work of apps that a spec calls in its own process", function()
    local function client_of(text)
        local dir = process.directory()
        process.write(dir .. "/a.lua", 'local moonloop = require("moonloop") local app = moonloop.app()\n' .. text
            .. "\nreturn app\n")
        return testing.client(dir)
    end

    after_each(process.clean)

    it("runs in virtual time: an hour of it takes no time", function()
        testing.virtual({ start = 1767225600 }, function() -- 2026-01-01 00:00 UTC
            local client = client_of([[
local minutes = app:every(60, function() end)
local quarters = app:cron("*/15 * * * *", function() end, { zone = "UTC" })
app:get("/", function() return { minutes.runs, quarters.runs } end)
]])
            moonloop.sleep(3601)
            assert.same({ 60, 4 }, client:get("/a/"):json())
            client:close()
        end)
    end)

    it("ends with the client", function()
        local client = client_of([[
local t = app:every(0.01, function() end)
app:background("service", function() moonloop.sleep(1000) end)
app:background("busy", function() while true do moonloop.sleep(0.01) end end)
app:get("/", function(req) req:after(moonloop.sleep, 1000) return { t.state } end)
]])
        assert.equal(200, client:get("/a/").status)
        local before = require("moonloop.core.task").counts().timers
        client:close()
        assert.is_true(require("moonloop.core.task").counts().timers <= before - 4)
    end)
end)
