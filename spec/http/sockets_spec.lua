--- Where the server listens, and what happens when there are more clients than it takes.

local process = require("spec.support.process")
local server = require("spec.support.server")

local APP = [[
local moonloop = require("moonloop")
local app = moonloop.app()
app:get("/", function(req) return req.remote_addr end)
return app
]]

describe("a listening socket", function()
    after_each(server.clean)

    local function start(options)
        options.apps = { ["index.lua"] = APP }
        return server.start(options)
    end

    it("speaks IPv4", function()
        assert.equal("127.0.0.1", start({}):get("/").body)
    end)

    it("speaks IPv6", function()
        assert.equal("::1", start({ bind = "[::1]:0" }):get("/").body)
    end)

    it("may be a Unix socket", function()
        local dir = process.directory()
        local site = start({ bind = "unix:" .. dir .. "/http" })
        local connection = server.connect("unix:" .. dir .. "/http")
        assert.equal("unix", connection:request("GET", "/").body)
        assert.equal("unix", connection:request("GET", "/").body)
        connection:close()
        site:stop()
    end)

    it("lets clients beyond max_connections wait, and says so once", function()
        local site = start({ options = { "--workers", "1", "--max-connections", "5" } })
        local held = {}
        for i = 1, 5 do
            held[i] = site:connect()
            assert.equal("127.0.0.1", held[i]:request("GET", "/").body)
        end
        local waiting = site:connect()
        waiting:send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        waiting:set_timeout(0.2)
        assert.is_nil((waiting:read_response()))
        held[1]:close()
        waiting:set_timeout(5)
        assert.equal(200, waiting:read_response().status)
        local _, count = site:wait_log("connections"):gsub("further clients wait", "")
        assert.equal(1, count)
    end)

    it("goes on when 300 descriptors are all in use and some get free", function()
        local site = start({ prefix = "ulimit -n 300; exec" })
        local held = {}
        for i = 1, 400 do
            held[i] = site:connect()
            held[i]:send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        end
        assert.equal(200, held[1]:read_response().status)
        site:wait_log("further clients wait")
        for i = 1, 200 do
            held[i]:close()
        end
        for i = 201, 400 do
            assert.equal(200, assert(held[i]:read_response()).status)
        end
        local _, count = site:log():gsub("further clients wait", "")
        assert.equal(1, count)
        for i = 201, 400 do
            held[i]:close()
        end
    end)
end)
