--- Handlers that fetch: several at once, cancelled with their own client, in a thread.

local command = require("spec.support.command")
local files = require("moonloop.core.file")
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
            app:post("/pass", { max_body = 100000000 }, function(req)
                local length = tonumber(req.headers["Content-Length"])
                return http.post(base .. "/echo", { body = req:chunks(), length = length }):body()
            end)
            app:get("/save", function(req)
                return { size = http.get(base .. "/sized/3000000"):save(req.query.path) }
            end)
            app:get("/saving", { timeout = 0.1 }, function(req)
                return { size = http.get(req.query.url):save(req.query.path) }
            end)
            app:get("/stuck", function(req)
                local status = http.post(req.query.url, { body = function() moonloop.sleep(1000) end }).status
                return { status = status }
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

    it("passes on the body of its own request as it comes", function()
        local body = ("0123456789"):rep(300000)
        local text = client:post("/pass", { body = body, timeout = 20 }).text
        assert.is_true(text:sub(-#body) == body)
        assert.matches("\r\nContent%-Length: 3000000\r\n", text)
    end)

    it("saves what it fetches, and nothing when its request ends before", function()
        local path = directory .. "/.saved"
        assert.equal(3000000, client:get("/save", { query = { path = path } }):json().size)
        assert.equal(3000000, #command.read(path))
        os.remove(path)
        local url, port = upstream:script({ "head", { "send", "HTTP/1.1 200 OK\r\n\r\nhello" }, "wait" })
        assert.equal(504, client:get("/saving", { query = { url = url, path = path } }).status)
        assert.matches("^end 0", upstream:log(port, 3)[3])
        while files.count() > 0 do
            moonloop.sleep(0.001)
        end
        assert.equal("", command.run({ "sh", "-c", "ls -A " .. directory .. " | grep saved" }).out)
    end)

    it("gives up what it still sends when its own request ends", function()
        local url, port = upstream:script({ "head", { "send", "HTTP/1.1 200 OK\r\n\r\n" }, "wait" })
        assert.equal(200, client:get("/stuck", { query = { url = url } }):json().status)
        assert.equal("end 0", upstream:log(port, 3)[3])
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
