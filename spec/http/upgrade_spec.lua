--- Connections that leave HTTP: what a handler takes over with req:upgrade, what the client gets for its option
--- upgrade.

local server = require("spec.support.server")

local APP = [[
local moonloop = require("moonloop")
local http = require("moonloop.http")
local app = moonloop.app()

app:get("/echo", { timeout = 0.2 }, function(req)
    local connection = req:upgrade("echo", { ["X-Kind"] = { "a", "b" } })
    local count = 0
    for bytes in connection:chunks() do
        connection:write(bytes)
        moonloop.sleep(0.05)
        count = count + 1
        moonloop.log.info("tick " .. count)
    end
    connection:write("bye")
end)

app:get("/greet", function(req)
    local connection = req:upgrade("echo")
    connection:write("hello")
end)

app:post("/after", function(req)
    local connection = req:upgrade("echo")
    connection:write(req:body())
end)

app:get("/closed", function(req)
    local connection = req:upgrade("echo")
    connection:write("x")
    connection:close()
    connection:close()
    local ok, err = pcall(connection.write, connection, "y")
    moonloop.log.info(("%s %s %s %s"):format(ok, err.code, connection.state, req.remote_addr))
    moonloop.sleep(0.02)
    moonloop.log.info("still here, " .. req.remote_addr)
end)

app:get("/flood", function(req)
    local connection = req:upgrade("echo")
    local sent = 0
    local ok, err = pcall(function()
        while true do
            connection:write(("x"):rep(65536))
            sent = sent + 65536
            moonloop.log.info("sent " .. sent)
        end
    end)
    moonloop.log.info("flood ended: " .. err.code)
end)

app:get("/mute", function(req)
    local connection = req:upgrade("echo")
    local ok, err = pcall(moonloop.sleep, 60)
    moonloop.log.info("mute ended: " .. err.code)
end)

app:get("/fails", function(req)
    local connection = req:upgrade("echo")
    connection:write("half")
    error("on purpose")
end)

app:get("/written", function(req, res)
    req:upgrade("echo")
    local ok, err = pcall(res.write, res, "x")
    moonloop.log.info("write: " .. err.code)
end)

app:get("/pause", function(req)
    local connection = req:upgrade("echo")
    local ok, err = pcall(moonloop.timeout, 0.02, connection.read, connection)
    connection:write(err.code .. " ")
    for bytes in connection:chunks() do
        connection:write(bytes)
    end
end)

app:get("/plain", function(req)
    return "plain " .. tostring(req.headers.upgrade)
end)

app:get("/client", function(req)
    local res = http.get(req.query.url, { upgrade = "echo", timeout = 5 })
    if res.status ~= 101 then
        return { status = res.status, body = res:body(), has_connection = res.connection ~= nil }
    end
    local connection, got = res.connection, {}
    connection:write("one")
    got[1] = connection:read()
    connection:write("two")
    connection:finish()
    for bytes in connection:chunks() do
        got[#got + 1] = bytes
    end
    return {
        status = res.status, protocol = connection.protocol, kind = res.headers["X-Kind"], got = table.concat(got),
        state = connection.state, pooled = http.stats().connections, text = tostring(connection),
    }
end)

app:get("/leave", function(req)
    local connection = http.get(req.query.url, { upgrade = "echo" }).connection
    connection:write("x")
    return connection:read()
end)
return app
]]

local OFFER = "Connection: Upgrade\r\nUpgrade: echo\r\n"

local function ask(path, more, method)
    return ("%s %s HTTP/1.1\r\nHost: a\r\n%s\r\n"):format(method or "GET", path, more or OFFER)
end

describe("a connection that a handler takes over", function()
    local site

    setup(function()
        site = server.start({
            apps = { ["index.lua"] = APP },
            options = { "--workers", "1", "--body-timeout", "1", "--send-timeout", "1" },
        })
    end)

    teardown(server.clean)

    local function open(path)
        local connection = site:connect()
        connection:send(ask(path))
        return connection, connection:read_until("\r\n\r\n")
    end

    it("is answered 101, then carries bytes both ways, longer than the timeout of its route", function()
        local connection, head = open("/echo")
        assert.matches("^HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n", head)
        assert.matches("\r\nX%-Kind: a\r\nX%-Kind: b\r\n", head)
        assert.is_nil(head:lower():find("content-length", 1, true))
        for i = 1, 6 do
            local text = ("message %d"):format(i)
            connection:send(text)
            assert.equal(text, connection:read_bytes(#text))
            site:wait_log(("tick %d"):format(i))
        end
        connection.socket:shutdown("send")
        assert.equal("bye", connection:read_all())
        connection:close()
    end)

    it("has the bytes that came glued behind the head", function()
        local connection = site:connect()
        connection:send(ask("/echo") .. "glued GET / HTTP/1.1\r\n\r\n")
        connection:read_until("\r\n\r\n")
        assert.equal("glued GET / HTTP/1.1\r\n\r\n", connection:read_bytes(24))
        connection:close()
    end)

    it("comes after the answers to earlier requests of the connection", function()
        local connection = site:connect()
        connection:send(ask("/plain", "") .. ask("/greet"))
        assert.equal("plain nil", connection:read_response().body)
        assert.matches("101 Switching", connection:read_until("\r\n\r\n"))
        assert.equal("hello", connection:read_all())
        connection:close()
    end)

    it("comes after the body of its request", function()
        local connection = site:connect()
        connection:send(ask("/after", OFFER .. "Content-Length: 4\r\n", "POST"))
        connection:send("body and more")
        assert.matches("^HTTP/1.1 101", connection:read_until("\r\n\r\n"))
        assert.equal("body", connection:read_all())
        connection:close()
    end)

    it("asks for the body of its request first, when the client waits to be asked", function()
        local connection = site:connect()
        connection:send(ask("/after", OFFER .. "Expect: 100-continue\r\nContent-Length: 4\r\n", "POST"))
        assert.matches("^HTTP/1.1 100 ", connection:read_until("\r\n\r\n"))
        connection:send("body")
        assert.matches("^HTTP/1.1 101 ", connection:read_until("\r\n\r\n"))
        assert.equal("body", connection:read_all())
        connection:close()
    end)

    it("ends with the handler, what it wrote first", function()
        local connection = open("/greet")
        assert.equal("hello", connection:read_all())
        connection:close()
    end)

    it("may be closed while the handler goes on", function()
        local connection = open("/closed")
        assert.equal("x", connection:read_all())
        connection:close()
        site:wait_log("false closed closed 127.0.0.1")
        site:wait_log("still here, 127.0.0.1")
    end)

    it("is cut when the handler fails", function()
        local connection, head = open("/fails")
        assert.matches("^HTTP/1.1 101", head)
        connection:read_all()
        connection:close()
        site:wait_log("on purpose")
    end)

    it("holds a handler back whose client reads slowly, and ends when that takes nothing any more", function()
        local connection = open("/flood")
        site:wait_log("flood ended: cancelled")
        local most = 0
        for count in site:log():gmatch("sent (%d+)") do
            most = math.max(most, tonumber(count))
        end
        assert.is_true(most < 16e6, most)
        connection:close()
    end)

    it("cancels its handler when the client resets it", function()
        local connection = open("/mute")
        connection.socket:setoption("linger", { on = true, timeout = 0 })
        connection:close()
        site:wait_log("mute ended: cancelled")
    end)

    it("loses nothing when a read is cut short", function()
        local connection = open("/pause")
        assert.equal("timeout ", connection:read_bytes(8))
        connection:send("kept")
        assert.equal("kept", connection:read_bytes(4))
        connection:close()
    end)

    it("takes no part of an answer any more", function()
        local connection = open("/written")
        connection:read_all()
        connection:close()
        site:wait_log("write: misuse")
    end)

    it("is answered as any request when nobody takes it", function()
        local response = site:request("GET", "/plain", { headers = { Connection = "Upgrade", Upgrade = "h2c" } })
        assert.equal("plain h2c", response.body)
    end)

    it("is refused with 426 to a client that has not asked for it", function()
        for _, more in ipairs({ "", "Upgrade: echo\r\n", "Connection: Upgrade\r\nUpgrade: websocket\r\n" }) do
            local connection = site:connect()
            connection:send(ask("/echo", more))
            local response = connection:read_response()
            assert.equal(426, response.status)
            assert.equal("echo", response.headers.upgrade)
            connection:close()
        end
        local answer = site:raw("GET /echo HTTP/1.0\r\nHost: a\r\n" .. OFFER .. "\r\n")
        assert.matches("^HTTP/1.1 426", answer)
    end)

    it("finds what is offered in a list, in any case", function()
        local connection = site:connect()
        connection:send(ask("/greet", "Connection: keep-alive, upgrade\r\nUpgrade: h2c, Echo\r\n"))
        assert.matches("^HTTP/1.1 101", connection:read_until("\r\n\r\n"))
        connection:close()
    end)

    it("is what the client gets for its option upgrade", function()
        local json = require("moonloop.json").decode(site:get("/client?url=" .. site.url .. "/echo").body)
        assert.same({
            status = 101, protocol = "echo", kind = "a, b", got = "onetwobye", state = "ended", pooled = 0,
            text = "connection echo (ended)",
        }, json)
    end)

    it("is not there when the server answers otherwise", function()
        local json = require("moonloop.json").decode(site:get("/client?url=" .. site.url .. "/plain").body)
        assert.same({ status = 200, body = "plain echo", has_connection = false }, json)
    end)

    it("of the client closes with the request that it was made for", function()
        assert.equal("x", site:get("/leave?url=" .. site.url .. "/echo").body)
        site:wait_status("the connections to have gone", function(status)
            return status.workers[1].connections == 0
        end)
    end)
end)

describe("a stop", function()
    after_each(server.clean)

    it("leaves a taken connection its grace, then ends it", function()
        local site = server.start({
            apps = { ["index.lua"] = APP }, options = { "--workers", "1", "--graceful-timeout", "0.5" },
        })
        local connection = site:connect()
        connection:send(ask("/echo"))
        connection:read_until("\r\n\r\n")
        site.process:kill("TERM")
        connection:send("still")
        assert.equal("still", connection:read_bytes(5))
        connection:read_all()
        connection:close()
        assert.same({ "exited", 0 }, { site.process:wait() })
    end)

    it("waits for a taken connection that ends in its grace", function()
        local site = server.start({ apps = { ["index.lua"] = APP } })
        local connection = site:connect()
        connection:send(ask("/echo"))
        connection:read_until("\r\n\r\n")
        site.process:kill("TERM")
        connection.socket:shutdown("send")
        assert.equal("bye", connection:read_all())
        connection:close()
        assert.same({ "exited", 0 }, { site.process:wait() })
    end)
end)

describe("a reload", function()
    after_each(server.clean)

    it("leaves a taken connection with the code that took it", function()
        local site = server.start({ apps = { ["index.lua"] = APP } })
        local connection = site:connect()
        connection:send(ask("/echo"))
        connection:read_until("\r\n\r\n")
        site:write("index.lua", APP:gsub('"bye"', '"changed"'))
        site:wait_log("generation 2 is live")
        connection:send("old")
        assert.equal("old", connection:read_bytes(3))
        connection.socket:shutdown("send")
        assert.equal("bye", connection:read_all())
        connection:close()
    end)
end)

describe("the client's option upgrade", function()
    local http = require("moonloop.http")
    local moonloop = require("moonloop")
    local origin = require("spec.support.origin")
    local upstream

    setup(function()
        upstream = origin.start()
    end)

    teardown(function()
        upstream:stop()
    end)

    local SWITCH = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n"

    it("sends the offer", function()
        local text = http.get(upstream.url .. "/echo", { upgrade = "echo" }):body()
        assert.matches("\r\nConnection: Upgrade\r\nUpgrade: echo\r\n", text)
    end)

    it("has the bytes that came glued behind the head, and then the end", function()
        local connection = http.get(upstream:script({ "read", { "send", SWITCH .. "glued" } }),
            { upgrade = "echo" }).connection
        assert.equal("glued", origin.take(connection:chunks(), 5))
        assert.is_nil(connection:read())
        assert.is_nil(connection:read())
        assert.equal("ended", connection.state)
        connection:close()
        assert.equal("closed", connection.state)
        assert.has_error(function() connection:read() end, "the connection was closed on this side")
    end)

    it("takes a 101 behind interim answers, in pieces", function()
        local hints = "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"
        local url = upstream:script({ "read", { "send", hints .. SWITCH .. "x", 1 } })
        local connection = http.get(url, { upgrade = "echo" }).connection
        assert.equal("x", connection:read())
        connection:close()
    end)

    it("refuses a 101 to something else", function()
        local url = upstream:script({ "read", { "send", (SWITCH:gsub("echo", "h2c")) } })
        local ok, err = pcall(http.get, url, { upgrade = "echo" })
        assert.is_false(ok)
        assert.equal("protocol", err.code)
        assert.matches("a protocol that was not offered", err.message)
    end)

    it("raises closed when the server resets the connection", function()
        local url = upstream:script({ "read", { "send", SWITCH }, "pause", "reset" })
        local connection = http.get(url, { upgrade = "echo" }).connection
        local ok, err = pcall(connection.read, connection)
        assert.is_false(ok)
        assert.equal("closed", err.code)
        assert.equal("lost", connection.state)
    end)

    it("leaves a cancelled reader's connection open, and a writer waits for a slow server", function()
        local url = upstream:script({ "read", { "send", SWITCH }, "wait" })
        local connection = http.get(url, { upgrade = "echo" }).connection
        local ok, err = pcall(moonloop.timeout, 0.01, connection.read, connection)
        assert.is_false(ok)
        assert.equal("timeout", err.code)
        assert.equal("open", connection.state)
        connection:write("x")
        connection:close()
    end)

    it("lets one task read while another writes, and no third", function()
        local url = upstream:script({ "read", { "send", SWITCH }, "wait" })
        local connection = http.get(url, { upgrade = "echo" }).connection
        local reader = moonloop.spawn(connection.read, connection)
        moonloop.sleep(0)
        local ok, err = pcall(connection.read, connection)
        assert.is_false(ok)
        assert.equal("misuse", err.code)
        connection:write("x")
        connection:close()
        assert.has_error(function() reader:wait() end, "the connection was closed on this side")
    end)

    it("is no header of one's own", function()
        assert.has_error(function()
            http.get(upstream.url .. "/echo", { headers = { Upgrade = "echo" } })
        end)
        assert.has_error(function()
            http.get(upstream.url .. "/echo", { upgrade = "echo\r\nX: y" })
        end)
    end)

    it("closes a connection that nobody took out of the answer", function()
        local url, port = upstream:script({ "read", { "send", SWITCH }, "wait" })
        local res = http.get(url, { upgrade = "echo" })
        res:close()
        assert.equal("end 0", upstream:log(port, 3)[3])
    end)
end)
