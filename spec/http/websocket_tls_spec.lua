--- WebSockets and event streams over TLS: our server and our client, each against another implementation and against
--- raw bytes in records of TLS, and both over whatever happens to the server meanwhile.

local certificates = require("spec.support.certificates")
local command = require("spec.support.command")
local http = require("moonloop.http")
local moonloop = require("moonloop")
local process = require("spec.support.process")
local server = require("spec.support.server")
local tls = require("spec.support.tls")
local websocket = require("spec.support.websocket")

local PEER = "spec/support/websocket_peer.py"

--- VERSION is replaced.
local APP = [[
local moonloop = require("moonloop")
local http = require("moonloop.http")
local log = moonloop.log
local app = moonloop.app()

app:ws("/echo", { compress = true, protocols = { "chat.v1" }, max_message = 2e7, drain_timeout = 0.2 }, function(ws, req)
    if req.scheme ~= "https" then error("scheme " .. req.scheme) end
    local ok, err = pcall(function()
        for message, kind in ws:messages() do
            ws:send(kind == "text" and message or { binary = message })
        end
    end)
    log.info(("echo VERSION ended: %s"):format(ok and ws.close_code or err.code))
end)
app:ws("/goodbye", function(ws) ws:receive() ws:close(4001, "as asked") end)
app:ws("/large", function(ws)
    ws:receive()
    ws:send({ binary = ("0123456789"):rep(1e6) })
    ws:receive()
end)
app:ws("/through", function(ws, req)
    local behind = http.client({ ca_file = req.query.ca }):websocket("wss://localhost:" .. req.query.port .. "/echo")
    for message in ws:messages() do
        behind:send(message)
        ws:send(behind:receive())
    end
    behind:close()
end)
app:sse("/events", { heartbeat = 0.05, drain_timeout = 0.2 }, function(stream)
    stream:send({ id = 1, event = "begun", data = "VERSION" })
    if not pcall(moonloop.sleep, 60) then log.info("events VERSION ended") end
end)
app:sse("/count", { heartbeat = 0 }, function(stream)
    for i = (tonumber(stream.last_event_id) or 0) + 1, 3 do
        stream:send({ id = i, data = ("x"):rep(40000) .. i })
        moonloop.sleep(0.01)
    end
end)
app:get("/", function() return "VERSION" end)
return app
]]

local function text(version)
    return (APP:gsub("VERSION", version))
end

local MESSAGES = { "", "hello", ("κόσμε"):rep(5000), ("x"):rep(70000), ("0123456789"):rep(500000) }

describe("over TLS", function()
    local directory, client, site

    before_each(function()
        directory = tls.directory()
        client = tls.client(directory)
    end)

    after_each(function()
        server.clean()
        command.remove(directory)
    end)

    local function start(more)
        site = server.start({ apps = { ["index.lua"] = text("one") }, options = { "--workers", "1", "--certfile",
            directory .. "/good.pem", "--keyfile", directory .. "/good.key", unpack(more or {}) } })
        return site
    end

    local function url(path, scheme)
        return ("%s://localhost:%d%s"):format(scheme or "wss", site.port, path)
    end

    ---A connection for raw bytes, and what tells how the server ended it.
    local function connect(mode)
        local relay = process.spawn({ "/usr/bin/python3", "spec/support/tls_relay.py", tostring(site.port),
            directory .. "/ca.pem", mode })
        local port = process.wait_for("the relay", function() return relay:out():match("^(%d+)\n") end)
        return server.connect("127.0.0.1", tonumber(port)), function()
            return process.wait_for("the end of the connection", function()
                return relay:out():match("^%d+\n(%a+)\n")
            end)
        end
    end

    local function open(path, mode)
        local connection, ending = connect(mode)
        local ws = websocket.connect(connection, path)
        assert.equal(101, ws.status, ws.head)
        return ws, ending
    end

    describe("a WebSocket", function()
        it("of the server speaks with another implementation", function()
            start()
            local result = process.run({ "/usr/bin/python3", PEER, "ask", url("/echo"), directory .. "/ca.pem" })
            assert.equal("good\n", result.out, result.err)
        end)

        it("of the client speaks with another implementation, and only with one that it can trust", function()
            local peer = process.spawn({ "/usr/bin/python3", PEER, "serve", directory .. "/good.pem",
                directory .. "/good.key" })
            local port = process.wait_for("the peer to serve", function() return peer:out():match("^(%d+)\n") end)
            local peer_url = ("wss://localhost:%s/"):format(port)
            for _, options in ipairs({ { max_message = 2e7 }, { compress = true, max_message = 2e7 } }) do
                local ws = client:websocket(peer_url, options)
                for _, message in ipairs(MESSAGES) do
                    ws:send(message)
                    assert.is_true(ws:receive() == message)
                end
                ws:send("close")
                assert.is_nil(ws:receive())
                assert.same({ 4001, "as asked" }, { ws.close_code, ws.close_reason })
            end
            local ok, err = pcall(http.websocket, peer_url)
            assert.same({ false, "tls" }, { ok, err.code })
        end)

        it("carries messages of any size between our own ends, compressed or not, also from handler to handler",
            function()
            start()
            local through = url(("/through?port=%d&ca=%s/ca.pem"):format(site.port, directory))
            for _, each in ipairs({
                { url("/echo"), {} }, { url("/echo"), { compress = true } }, { through, { max_message = 2e7 } },
            }) do
                local options = each[2]
                options.max_message = 2e7
                local ws = client:websocket(each[1], options)
                for _, message in ipairs(MESSAGES) do
                    if each[1] ~= through or #message <= 1e6 then
                        ws:send(message)
                        assert.is_true(ws:receive() == message)
                    end
                end
                ws:close()
                assert.is_nil(ws:receive())
                assert.equal(1000, ws.close_code)
            end
            local ws = client:websocket(url("/goodbye"))
            ws:send("now")
            assert.is_nil(ws:receive())
            assert.same({ 4001, "as asked" }, { ws.close_code, ws.close_reason })
        end)

        it("takes frames that come a byte a record, and one that comes with the handshake", function()
            start()
            local ws = open("/echo", "bytes")
            ws:send("byte by byte")
            assert.equal("byte by byte", ws:receive())
            ws:frame(websocket.TEXT, "in ", { fin = false })
            ws:frame(websocket.PING, "between")
            ws:frame(websocket.CONTINUATION, "two")
            assert.same({ opcode = websocket.PONG, fin = true, rsv = 0, masked = false, payload = "between" },
                ws:read())
            assert.equal("in two", ws:receive())
            local connection = connect()
            connection:send("GET /echo HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                .. "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
                .. websocket.frame(websocket.TEXT, "early"))
            assert.matches("^HTTP/1.1 101", connection:read_until("\r\n\r\n"))
            assert.equal(websocket.frame(websocket.TEXT, "early", { masked = false }), connection:read_bytes(7))
        end)

        it("says goodbye in both, first as a frame, then in TLS, whoever begins", function()
            start()
            local ws, ending = open("/echo")
            assert.equal(1000, ws:finish(1000))
            assert.equal("closed", ending())
            site:wait_log("echo one ended: 1000")
            ws, ending = open("/goodbye")
            ws:send("now")
            local frame = ws:read()
            assert.same({ websocket.CLOSE, 4001, "as asked" }, { frame.opcode, frame.code, frame.payload })
            ws:frame(websocket.CLOSE, websocket.close_payload(4001))
            assert.is_nil(ws:read())
            assert.equal("closed", ending())
        end)

        it("knows a client that is gone without a word of either", function()
            start()
            local ws = open("/echo")
            ws:send("hello")
            assert.equal("hello", ws:receive())
            ws.connection:close()
            site:wait_log("echo one ended: cancelled") -- nobody knows whether that was all
        end)

        it("waits for a client that does not read, and sends it all when it does", function()
            start()
            local ws = open("/large")
            ws:send("go")
            site:wait_status("what waits to be read", function(status)
                return status.workers[1].in_flight == 1 and status.workers[1].lag < 1
            end)
            assert.is_true(ws:read().payload == ("0123456789"):rep(1e6))
        end)

        it("goes on when the certificates change, and the next handshake shows the new ones", function()
            start()
            local ours, raw = client:websocket(url("/echo"), { max_message = 2e7 }), open("/echo")
            certificates.issue(directory, "next", "DNS:localhost,IP:127.0.0.1")
            process.write(directory .. "/good.key", command.read(directory .. "/next.key"))
            process.write(directory .. "/good.pem", command.read(directory .. "/next.pem"))
            site:wait_log("the certificates have changed: new connections get the new ones")
            process.wait_for("the new certificate", function() return tls.shown(site.port) == "next" end)
            for _, message in ipairs(MESSAGES) do
                ours:send(message)
                assert.is_true(ours:receive() == message)
            end
            raw:send("raw")
            assert.equal("raw", raw:receive())
            local fresh = client:websocket(url("/echo"))
            fresh:send("fresh")
            assert.equal("fresh", fresh:receive())
        end)

        it("is closed with 1012 by a reload, and with 1001 by a stop", function()
            start()
            local ws = client:websocket(url("/echo"))
            ws:send("a")
            assert.equal("a", ws:receive())
            site:write("index.lua", text("two"))
            assert.is_nil(ws:receive())
            assert.equal(1012, ws.close_code)
            local ending
            ws, ending = open("/echo")
            site:signal("TERM")
            local frame = ws:read()
            assert.same({ websocket.CLOSE, 1001 }, { frame.opcode, frame.code })
            ws:frame(websocket.CLOSE, websocket.close_payload(1001))
            assert.is_nil(ws:read())
            assert.equal("closed", ending())
            assert.same({ "exited", 0 }, { site.process:wait() })
        end)
    end)

    describe("an event stream", function()
        local function ask(path, headers)
            local connection, ending = connect()
            connection:send(("GET %s HTTP/1.1\r\nHost: localhost\r\n%s\r\n"):format(path, headers or ""))
            local head = connection:read_until("\r\n\r\n")
            assert.matches("^HTTP/1.1 200", head)
            return connection, ending, head
        end

        it("comes event by event, with its heartbeats", function()
            start()
            local res, all = client:get(url("/events", "https")), ""
            for chunk in res:chunks() do
                all = all .. chunk
                if select(2, all:gsub("\n:[^\n]*\n", "")) >= 2 then
                    break
                end
            end
            assert.matches("^event: begun\nid: 1\ndata: one\n\n", all)
            assert.equal("text/event-stream", res.headers["content-type"]:match("^[^;]+"))
        end)

        it("goes on where a client was that comes back, and ends in order", function()
            start()
            local res = client:get(url("/count", "https"))
            local ids = {}
            for id in res:body():gmatch("id: (%d)") do
                ids[#ids + 1] = id
            end
            assert.same({ "1", "2", "3" }, ids)
            res = client:get(url("/count", "https"), { headers = { ["Last-Event-ID"] = "2" } })
            local body = res:body()
            assert.matches("^id: 3\n", body)
            assert.equal(1, client:stats().reused) -- it ended in order: the connection was good for another
        end)

        it("ends with a client that leaves, and in a reload in order", function()
            start()
            local connection = ask("/events")
            assert.matches("data: one\n\n$", connection:read_until("data: one\n\n"))
            connection:close()
            site:wait_log("events one ended")
            local ending
            connection, ending = ask("/events", "Connection: close\r\n")
            connection:read_until("data: one\n\n")
            site:write("index.lua", text("two"))
            assert.matches("0\r\n\r\n$", connection:read_all())
            assert.equal("closed", ending())
            assert.equal("two", client:get(url("/", "https")):body())
        end)

        it("of a handler's sleep holds no connection of others", function()
            start()
            for _ = 1, 20 do
                client:get(url("/events", "https"))
            end
            local began = moonloop.now()
            assert.equal("one", client:get(url("/", "https")):body())
            assert.is_true(moonloop.now() - began < 5)
        end)
    end)
end)
