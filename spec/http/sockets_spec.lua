--- Where the server listens, and what happens when there are more clients than it takes.

local process = require("spec.support.process")
local server = require("spec.support.server")

local APP = [[
local moonloop = require("moonloop")
local app = moonloop.app()
app:get("/", function(req) return req.remote_addr end)
app:get("/wait", function() moonloop.sleep(30) return "waited" end)
app:get("/soon", function() moonloop.sleep(0.2) return "waited" end)
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

    it("lets clients beyond max_connections wait while all others are busy, and says so once", function()
        local site = start({ options = { "--workers", "1", "--max-connections", "5" } })
        local held = {}
        for i = 1, 5 do
            held[i] = site:connect()
            held[i]:send("GET /wait HTTP/1.1\r\nHost: a\r\n\r\n")
        end
        site:wait_status("five requests", function(status) return status.workers[1].in_flight == 5 end)
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

    it("lets a client that waits in as soon as another is idle", function()
        local site = start({ options = { "--workers", "1", "--max-connections", "1" } })
        local busy = site:connect()
        busy:send("GET /soon HTTP/1.1\r\nHost: a\r\n\r\n")
        site:wait_status("the request", function(status) return status.workers[1].in_flight == 1 end)
        local waiting = site:connect()
        waiting:send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert.equal("waited", busy:read_response().body)
        assert.equal(200, waiting:read_response().status)
    end)

    it("closes the connection that is idle longest for one beyond max_connections", function()
        local site = start({ options = { "--workers", "1", "--max-connections", "5" } })
        local held = {}
        for i = 1, 5 do
            held[i] = site:connect()
            assert.equal("127.0.0.1", held[i]:request("GET", "/").body)
        end
        assert.equal(200, site:get("/").status)
        assert.equal("", held[1]:read_all())
        assert.equal(200, held[5]:request("GET", "/").status)
        local _, count = site:log():gsub("is closed for each new one", "")
        assert.equal(1, count)
    end)

    it("closes half a head for one beyond max_connections, with an answer", function()
        local site = start({ options = { "--workers", "1", "--max-connections", "5" } })
        local held = {}
        for i = 1, 5 do
            held[i] = site:connect()
            held[i]:send("GET / HTTP/1.1\r\nHost:")
        end
        site:wait_status("five connections", function(status) return status.workers[1].connections == 5 end)
        assert.equal(200, site:get("/").status)
        local answer = held[1]:read_response()
        assert.equal(503, answer.status)
        assert.equal("1", answer.headers["retry-after"])
    end)

    it("goes on when 300 descriptors are all in use and some get free", function()
        local site = start({ prefix = "ulimit -n 300; exec" })
        local held = {}
        for i = 1, 400 do
            held[i] = site:connect()
            held[i]:send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        end
        assert.equal(200, held[1]:read_response().status)
        site:wait_log("is closed for each new one")
        for i = 1, 200 do
            held[i]:close()
        end
        for i = 201, 400 do
            assert.equal(200, assert(held[i]:read_response()).status)
        end
        local _, count = site:log():gsub("is closed for each new one", "")
        assert.equal(1, count)
        for i = 201, 400 do
            held[i]:close()
        end
    end)
end)
