--- Bodies of requests: when they are asked for, when they are thrown away, how much is held.

local process = require("spec.support.process")
local server = require("spec.support.server")

local APP = [[
local moonloop = require("moonloop")
local app = moonloop.app()
app:post("/echo", function(req) return req:body() end)
app:post("/ignore", function() return "ignored" end)
app:post("/begin", function(req, res) res:write("begun ") res:write(req:body()) end)
app:post("/count", { max_body = 300 * 1024 * 1024 }, function(req)
    local total = 0
    for chunk in req:chunks() do total = total + #chunk end
    return tostring(total)
end)
app:post("/late", function(req) moonloop.sleep(0.02) return req:body() end)
app:post("/twice", function(req) return req:body() .. req:body() end)
app:post("/caught", function(req)
    local ok, err = pcall(req.body, req)
    return tostring(ok) .. " " .. tostring(err.code)
end)
app:get("/", function() return "root" end)
return app
]]

local function head(path, fields)
    return "POST " .. path .. " HTTP/1.1\r\nHost: a\r\n" .. fields .. "\r\n"
end

describe("a request body", function()
    local site, connection
    lazy_setup(function()
        site = server.start({ apps = { ["index.lua"] = APP }, options = { "--workers", "1", "--max-body", "1M" } })
    end)
    lazy_teardown(server.clean)
    before_each(function()
        connection = site:connect()
        connection:set_timeout(3)
    end)
    after_each(function()
        connection:close()
    end)

    it("is asked for with 100 Continue when the handler reads it", function()
        connection:send(head("/echo", "Expect: 100-continue\r\nContent-Length: 2\r\n"))
        assert.equal("HTTP/1.1 100 Continue\r\n\r\n", connection:read_until("\r\n\r\n"))
        connection:send("hi")
        assert.equal("hi", connection:read_response().body)
        assert.equal("root", connection:request("GET", "/").body)
    end)

    it("is refused when the size of its first chunk comes with the head and is beyond the limit", function()
        connection:send(head("/echo", "Transfer-Encoding: chunked\r\n") .. "fffffffff\r\n")
        assert.equal(413, connection:read_response().status)
    end)

    it("is not asked for when nobody reads it, and the connection ends", function()
        connection:send(head("/ignore", "Expect: 100-continue\r\nContent-Length: 2\r\n"))
        local response = connection:read_response()
        assert.equal(200, response.status)
        assert.equal("close", response.headers.connection)
        assert.equal("", connection:read_all())
    end)

    it("is not asked for when it is too large", function()
        connection:send(head("/echo", "Expect: 100-continue\r\nContent-Length: 2000000\r\n"))
        assert.equal(413, connection:read_response().status)
    end)

    it("is not asked for once the answer has begun", function()
        connection:send(head("/begin", "Expect: 100-continue\r\nContent-Length: 2\r\n"))
        assert.truthy(connection:read_until("begun "):find("^HTTP/1.1 200"))
        connection:send("hi")
        assert.falsy(connection:read_all():find("100 Continue"))
    end)

    it("is read while the answer is under way", function()
        connection:send(head("/begin", "Content-Length: 2\r\n"))
        assert.truthy(connection:read_until("begun "))
        connection:send("hi")
        assert.truthy(connection:read_until("hi\r\n0\r\n\r\n"))
    end)

    it("may be read late and twice", function()
        assert.equal("hello", connection:request("POST", "/late", { body = "hello" }).body)
        assert.equal("xx", connection:request("POST", "/twice", { body = "x" }).body)
    end)

    it("is thrown away when little of it is left, and the connection goes on", function()
        connection:send(head("/ignore", "Content-Length: 50000\r\n"))
        local response = connection:read_response()
        assert.equal("ignored", response.body)
        assert.is_nil(response.headers.connection)
        connection:send(("x"):rep(50000))
        assert.equal("root", connection:request("GET", "/").body)
    end)

    it("ends the connection when much of it is left, and the answer arrives", function()
        connection:send(head("/ignore", "Content-Length: 1000000\r\n"))
        connection:send(("x"):rep(300000))
        local response = connection:read_response()
        assert.equal("ignored", response.body)
        assert.equal("close", response.headers.connection)
        assert.equal("", connection:read_all())
    end)

    it("beyond the limit is answered 413, readable, to a client that sends it all first", function()
        connection:send(head("/echo", "Content-Length: 3000000\r\n"))
        for _ = 1, 30 do
            if not connection:send(("x"):rep(100000)) then
                break
            end
        end
        local response = assert(connection:read_response())
        assert.equal(413, response.status)
        assert.equal("close", response.headers.connection)
    end)

    it("in chunks beyond the limit raises too_large in the handler", function()
        connection:send(head("/caught", "Transfer-Encoding: chunked\r\n"))
        local chunk = "8000\r\n" .. ("x"):rep(0x8000) .. "\r\n"
        for _ = 1, 40 do
            connection:send(chunk)
        end
        assert.equal("false too_large", assert(connection:read_response()).body)
    end)

    it("of 200 MB is streamed in little memory", function()
        local pid = site:worker_pids()[1]
        local before, most = process.resident_kb(pid), 0
        local part, parts = ("x"):rep(1024 * 1024), 200
        connection:set_timeout(20)
        connection:send(head("/count", "Content-Length: " .. #part * parts .. "\r\n"))
        for i = 1, parts do
            assert(connection:send(part))
            most = i % 20 == 0 and math.max(most, process.resident_kb(pid)) or most
        end
        assert.equal(tostring(#part * parts), connection:read_response().body)
        assert.is_true(most - before < 30 * 1024, most - before .. " KB more")
    end)

    it("that nobody reads is not read ahead without bound", function()
        local slow = [[
local moonloop = require("moonloop")
local app = moonloop.app()
app:post("/", function() moonloop.sleep(0.5) return "slept" end)
return app]]
        local other = server.start({ apps = { ["index.lua"] = slow },
            options = { "--workers", "1", "--max-body", "100M" } })
        local pid = other:worker_pids()[1]
        local before = process.resident_kb(pid)
        local client = other:connect()
        client:send(head("/", "Content-Length: 50000000\r\n"))
        client:set_timeout(0.2)
        for _ = 1, 50 do
            if not client:send(("x"):rep(1000000)) then
                break
            end
        end
        local grown = process.resident_kb(pid) - before
        client:close()
        other:stop()
        assert.is_true(grown < 5 * 1024, grown .. " KB more")
    end)
end)
