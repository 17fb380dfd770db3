--- Handlers that fetch: several at once, cancelled with their own client, in a thread.

local command = require("spec.support.command")
local http = require("moonloop.http")
local moonloop = require("moonloop")
local origin = require("spec.support.origin")
local testing = require("moonloop.testing")

describe("a handler", function()
    local directory, upstream, client

    setup(function()
        directory = command.directory()
        upstream = origin.start()
        command.write(directory .. "/index.lua", ([[
            local moonloop = require("moonloop")
            local http = require("moonloop.http")
            local app = moonloop.app()
            local base = "%s"
            app:get("/one", function() return http.get(base .. "/sized/5"):body() end)
            app:get("/five", function()
                local function fetch() return http.get(base .. "/sized/2"):body() end
                return table.concat({ moonloop.gather(fetch, fetch, fetch, fetch, fetch) })
            end)
            app:get("/hang", function() return http.get(base .. "/hang"):body() end)
            app:get("/slow", { timeout = 0.05 }, function() return http.get(base .. "/hang"):body() end)
            app:get("/copy", function(req, res)
                for chunk in http.get(base .. "/sized/5000000"):chunks() do res:write(chunk) end
            end)
            return app
        ]]):format(upstream.url))
        client = testing.client(directory)
    end)

    teardown(function()
        client:close()
        client = nil
        upstream:stop()
        command.remove(directory)
    end)

    it("fetches, one or several at once", function()
        assert.equal("xxxxx", client:get("/one").text)
        assert.equal("xxxxxxxxxx", client:get("/five").text)
    end)

    it("passes a body on as it comes", function()
        assert.equal(5000000, #client:get("/copy").text)
    end)

    it("gives its request up when its own client leaves", function()
        local ok = pcall(moonloop.timeout, 0.05, client.get, client, "/hang")
        assert.is_false(ok)
        assert.equal("gone", http.get(upstream.url .. "/gone"):body())
    end)

    it("gives its request up at the route's deadline, answered 504", function()
        assert.equal(504, client:get("/slow").status)
        assert.equal("gone", http.get(upstream.url .. "/gone"):body())
    end)
end)
