--- What clients see of a worker that leaves: whoever was accepted is answered.

local command = require("spec.support.command")
local process = require("spec.support.process")
local server = require("spec.support.server")
local tls = require("spec.support.tls")

local APP = [[
local moonloop = require("moonloop")
local app = moonloop.app()
app:get("/", function() return "hello\n" end)
app:get("/slow", function() moonloop.sleep(1.2) return "slow\n" end)
app:post("/echo", function(req) return req:body() end)
app:get("/pieces", function(req, res)
    res:write("a")
    moonloop.sleep(0.3)
    res:write("b")
end)
return app
]]

local function start(...)
    return server.start({ apps = { ["index.lua"] = APP }, options = { "--workers", "1", ... } })
end

describe("a worker that leaves", function()
    after_each(server.clean)

    local site, idle
    local function leave()
        idle = site:connect()
        assert.equal(200, idle:request("GET", "/").status)
        local told = site:connect()
        site:signal("TERM")
        process.wait_for("the worker to hear of it, a moment after the master", function()
            return assert(told:request("GET", "/")).headers.connection == "close"
        end)
    end

    it("closes an idle connection", function()
        site = start()
        leave()
        assert.equal("", idle:read_all())
    end)

    it("answers what comes on an idle connection meanwhile, however long that takes", function()
        site = start()
        leave()
        local response = assert(idle:request("GET", "/slow"))
        assert.equal("slow\n", response.body)
        assert.equal("close", response.headers.connection)
        assert.equal("", idle:read_all())
    end)

    it("answers a request of which a part has come", function()
        site = start()
        local late = site:connect()
        late:send("GET / HT")
        leave()
        late:send("TP/1.1\r\nHo")
        late:send("st: a\r\n\r\n")
        local response = assert(late:read_response())
        assert.equal("hello\n", response.body)
        assert.equal("close", response.headers.connection)
        assert.equal("", late:read_all())
    end)

    it("answers the request behind an answer that it was sending", function()
        site = start()
        local busy = site:connect()
        busy:send("GET /pieces HTTP/1.1\r\nHost: a\r\n\r\n")
        local head = busy:read_until("\r\n\r\n")
        assert.is_nil(head:lower():find("connection: close", 1, true))
        leave()
        busy:read_until("\r\n0\r\n\r\n")
        local response = assert(busy:request("GET", "/"))
        assert.equal("hello\n", response.body)
        assert.equal("close", response.headers.connection)
        assert.equal("", busy:read_all())
    end)

    it("answers a body that comes after its head", function()
        site = start()
        leave()
        idle:send("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhello")
        idle:send("world")
        assert.equal("helloworld", idle:read_response().body)
    end)

    it("answers who was in the middle of a handshake", function()
        local directory = tls.directory()
        site = start("--certfile", directory .. "/good.pem", "--keyfile", directory .. "/good.key", "--bind",
            "unix:site.sock")
        local port = site.process:out():match("https://127%.0%.0%.1:(%d+)")
        local result = command.run({ "python3", "spec/support/late_handshake.py", tostring(site:pid()), port,
            site.dir .. "/site.sock" })
        command.remove(directory)
        assert.equal("HTTP/1.1 200 OK\n", result.out, result.err)
    end)
end)
