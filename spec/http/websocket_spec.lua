--- app:ws: the handshake, messages through a real server, limits, goodbyes, who leaves how.

local cases = require("spec.support.websocket_cases")
local process = require("spec.support.process")
local server = require("spec.support.server")
local websocket = require("spec.support.websocket")

local APP = [[
local moonloop = require("moonloop")
local log = moonloop.log
local app = moonloop.app()

local function echo(ws)
    for message, kind in ws:messages() do
        ws:send(kind == "text" and message or { binary = message })
    end
end

app:ws("/echo", { max_message = 65536 }, echo)
app:ws("/zip", { compress = true, max_message = 65536 }, echo)
app:ws("/limited", { limit = 1 }, echo)
app:ws("/protocols", { protocols = { "chat.v2", "chat.v1" } }, function(ws)
    ws:send(tostring(ws.protocol))
end)
app:ws("/any", { origins = "any" }, echo)
app:ws("/listed", { origins = { "https://example.com", "null" } }, echo)
app:ws("/param/{id:int}", function(ws, req)
    ws:send{ json = { id = req.params.id, query = req.query.a, route = req.route, peer = req.remote_addr } }
end)
app:ws("/pings", { ping_interval = 0.05, ping_timeout = 0.05 }, function(ws)
    ws:receive()
    log.info(("pings ended: %s %s"):format(ws.close_code, ws.close_reason))
end)
app:ws("/mute", { close_timeout = 0.05 }, function(ws)
    local ok, err = pcall(moonloop.sleep, 60)
    log.info(("mute ended: %s %s %s %s"):format(err.code, ws.closed, ws.close_code, ws.close_reason))
end)
app:ws("/reader", function(ws)
    local got = {}
    for message in ws:messages() do
        got[#got + 1] = message
        moonloop.sleep(0.01)
    end
    log.info(("reader got: %s, then %s %s"):format(table.concat(got, ","), ws.close_code, ws.close_reason))
end)
app:ws("/fails", function(ws)
    ws:receive()
    error("on purpose")
end)
app:ws("/late", function(ws)
    ws:receive()
    moonloop.sleep(0.05)
    ws:send("too late")
end)
app:ws("/close", function(ws, req)
    ws:close(tonumber(req.query.code), req.query.reason)
    ws:close()
    local ok, err = pcall(ws.send, ws, "x")
    log.info(("closed: %s %s %s %s"):format(err.code, ws.state, ws.close_code, tostring(ws:receive())))
end)
app:ws("/flood", function(ws)
    local sent = 0
    local ok, err = pcall(function()
        while true do
            ws:send(("x"):rep(65536))
            sent = sent + 1
            log.info("sent " .. sent)
        end
    end)
    log.info("flood ended: " .. err.code)
end)
app:ws("/many", function(ws)
    local tasks = {}
    for i = 1, 20 do
        tasks[i] = moonloop.spawn(function() ws:send(("%02d"):format(i):rep(50000)) end)
    end
    ws:receive()
    for _, task in ipairs(tasks) do task:wait() end
    ws:send("all")
end)
app:ws("/mistakes", function(ws)
    local function report(fn, ...)
        local ok, err = pcall(fn, ...)
        ws:send(type(err) == "table" and err.code .. ": " .. err.message or tostring(err))
    end
    report(ws.send, ws, "\255")
    report(function() ws:send(5) end)
    report(function() ws:send{ bin = "x" } end)
    report(function() ws:close(1005) end)
    report(function() ws:close(12) end)
    report(ws.send, "x")
    moonloop.spawn(function() ws:receive() end)
    moonloop.sleep(0)
    report(ws.receive, ws)
end)
app:group("/closed", function(group)
    group:use(function(req, res, next)
        moonloop.abort(401, "who are you?\n")
    end)
    group:ws("/socket", echo)
end)
app:get("/plain", function() return "plain" end)
return app
]]

describe("app:ws", function()
    local site

    setup(function()
        site = server.start({ apps = { ["index.lua"] = APP }, options = { "--workers", "1", "--send-timeout", "1" } })
    end)

    teardown(server.clean)

    local function open(path, headers)
        return websocket.connect(site:connect(), path, headers)
    end

    describe("shakes hands", function()
        it("as RFC 6455 has it in its example", function()
            local client = open("/echo")
            assert.equal(101, client.status)
            assert.matches("\r\nConnection: Upgrade\r\n", client.head)
            assert.matches("\r\nUpgrade: websocket\r\n", client.head)
            assert.matches("\r\nSec%-WebSocket%-Accept: s3pPLMBiTxaQ9kYGzzhZRbK%+xOo=\r\n", client.head)
            assert.is_nil(client.head:find("Sec-WebSocket-Extensions", 1, true))
            assert.equal(1000, client:finish())
        end)

        it("and answers what is none with what is missing", function()
            local function refused(headers, status, text)
                local client = open("/echo", headers)
                assert.equal(status, client.status, client.head)
                local length = tonumber(client.head:match("Content%-Length: (%d+)"))
                assert.matches(text, client.connection:read_bytes(length))
                client.connection:close()
                return client.head
            end
            local head = refused({ Upgrade = false }, 426, "has to ask for an upgrade to websocket")
            assert.matches("\r\nUpgrade: websocket\r\n", head)
            refused({ Upgrade = "h2c" }, 426, "upgrade to websocket")
            refused({ Connection = "keep-alive" }, 426, "the client has not asked for it")
            head = refused({ ["Sec-WebSocket-Version"] = "8" }, 426, "only version 13")
            assert.matches("\r\nSec%-WebSocket%-Version: 13\r\n", head)
            refused({ ["Sec-WebSocket-Version"] = false }, 426, "only version 13")
            refused({ ["Sec-WebSocket-Key"] = false }, 400, "Sec%-WebSocket%-Key")
            refused({ ["Sec-WebSocket-Key"] = "c2hvcnQ=" }, 400, "Sec%-WebSocket%-Key")
            assert.equal(405, site:request("POST", "/echo", { body = "" }).status)
        end)

        it("with a value among others, in any case", function()
            local client = open("/echo", { Upgrade = "foo, WebSocket", Connection = "keep-alive, Upgrade" })
            assert.equal(101, client.status)
            client:finish()
        end)

        it("only with pages of the same host, unless the route says otherwise", function()
            local function status(path, origin, host)
                local client = open(path, { Origin = origin, Host = host })
                client.connection:close()
                return client.status
            end
            assert.equal(101, status("/echo", "http://localhost"))
            assert.equal(101, status("/echo", "http://LOCALHOST:80"))
            assert.equal(101, status("/echo", "https://example.com", "example.com"))
            assert.equal(101, status("/echo", "http://a:8080", "a:8080"))
            assert.equal(403, status("/echo", "http://a:8081", "a:8080"))
            assert.equal(403, status("/echo", "http://evil.example"))
            assert.equal(403, status("/echo", "http://localhost.evil.example"))
            assert.equal(403, status("/echo", "null"))
            assert.equal(101, status("/any", "http://evil.example"))
            assert.equal(101, status("/listed", "https://Example.com"))
            assert.equal(101, status("/listed", "null"))
            assert.equal(403, status("/listed", "http://localhost"))
        end)

        it("on a subprotocol that both know, of those the one that the client likes best", function()
            local function offer(text)
                local client = open("/protocols", { ["Sec-WebSocket-Protocol"] = text })
                local protocol = client.head:match("Sec%-WebSocket%-Protocol: ([^\r]+)")
                assert.equal(tostring(protocol), client:receive())
                client:finish()
                return protocol
            end
            assert.equal("chat.v1", offer("chat.v1, chat.v2"))
            assert.equal("chat.v2", offer("other,chat.v2"))
            assert.is_nil(offer("other"))
            assert.is_nil(offer(nil))
        end)

        it("in no more time for lists of many blanks than for others", function()
            local function cpu_seconds()
                local stat = process.read(("/proc/%d/stat"):format(site:worker_pids()[1]))
                local user, system = stat:match("%) %S+" .. (" %S+"):rep(10) .. " (%d+) (%d+)")
                return (user + system) / 100
            end
            local before = cpu_seconds()
            local client = open("/zip", { ["Sec-WebSocket-Extensions"] = "x-a" .. (" "):rep(30000) .. "b" })
            assert.equal(101, client.status)
            client:finish()
            assert.is_true(cpu_seconds() - before < 0.5) -- the watchdog had to end it
        end)

        it("after the middleware, which may refuse", function()
            local client = open("/closed/socket")
            assert.equal(401, client.status)
            client.connection:close()
        end)

        it("with what the request brought", function()
            local client = open("/param/7?a=b")
            local got = require("cjson").decode(client:receive())
            assert.same({ id = 7, query = "b", route = "/param/{id:int}", peer = "127.0.0.1" }, got)
            client:finish()
        end)

        it("up to the limit of the route", function()
            local first = open("/limited")
            local second = open("/limited")
            assert.equal(503, second.status)
            second.connection:close()
            first:finish()
            local status
            process.wait_for("the place to be free", function()
                local client = open("/limited")
                status = client.status
                client.connection:close()
                return status == 101
            end)
        end)
    end)

    describe("does with what comes", function()
        local function answers_of(case)
            local answers = {}
            for _, event in ipairs(case.events) do
                local kind, rest = event:match("^(%a+):(.*)$")
                if kind == "ping" then
                    answers[#answers + 1] = { websocket.PONG, rest }
                elseif kind == "text" then
                    answers[#answers + 1] = { websocket.TEXT, rest }
                elseif kind == "binary" then
                    answers[#answers + 1] = { websocket.BINARY, rest }
                elseif kind ~= "pong" then
                    answers[#answers + 1] = { websocket.CLOSE, tonumber(rest:match("^%d+")) }
                end
            end
            return answers
        end

        local function check(client, case)
            local is_closed
            for _, answer in ipairs(answers_of(case)) do
                local frame = assert(client:read(), "the connection ended")
                assert.equal(answer[1], frame.opcode)
                assert.equal(answer[2], frame.code or frame.payload)
                assert.is_false(frame.masked)
                assert.equal(0, frame.rsv)
                is_closed = frame.opcode == websocket.CLOSE
            end
            if not is_closed then
                client:finish()
            else
                assert.is_nil(client:read())
            end
            client.connection:close()
        end

        it("what the cases say", function()
            for _, case in ipairs(cases) do
                local client = open("/echo")
                client.connection:send(case.bytes)
                local ok, err = pcall(check, client, case)
                assert(ok, case.name .. ": " .. tostring(err))
            end
        end)

        it("the same when it comes with the handshake, and in small pieces", function()
            for _, case in ipairs(cases) do
                if #case.bytes < 40 then
                    local client = open("/echo")
                    for at = 1, #case.bytes do
                        client.connection:send(case.bytes:sub(at, at))
                    end
                    local ok, err = pcall(check, client, case)
                    assert(ok, case.name .. ": " .. tostring(err))
                end
            end
            local connection = site:connect()
            connection:send("GET /echo HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n"
                .. "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
                .. websocket.frame(websocket.TEXT, "at once"))
            assert.matches("^HTTP/1.1 101", connection:read_until("\r\n\r\n"))
            assert.equal("\129\7at once", connection:read_bytes(9))
            connection:close()
        end)

        it("many messages in a row, in their order", function()
            local client, frames = open("/echo"), {}
            for i = 1, 5000 do
                frames[i] = websocket.frame(websocket.TEXT, "message " .. i)
            end
            client.connection:send(table.concat(frames))
            for i = 1, 5000 do
                assert.equal("message " .. i, client:receive())
            end
            assert.equal(1000, client:finish())
        end)
    end)

    describe("with compression", function()
        local OFFER = "permessage-deflate; client_max_window_bits"

        local function agreed(offer)
            local client = open("/zip", { ["Sec-WebSocket-Extensions"] = offer })
            client.connection:close()
            return client.head:match("Sec%-WebSocket%-Extensions: ([^\r]+)")
        end

        it("agrees on what costs no memory between messages", function()
            local answer = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
            assert.equal(answer, agreed(OFFER))
            assert.equal(answer, agreed("permessage-deflate"))
            assert.equal(answer, agreed("x-other, permessage-deflate; server_max_window_bits=\"15\""))
            assert.equal(answer, agreed("permessage-deflate; server_max_window_bits=10, permessage-deflate"))
            assert.is_nil(agreed("permessage-deflate; server_max_window_bits=10"))
            assert.is_nil(agreed("permessage-deflate; unknown"))
            assert.is_nil(agreed("permessage-deflate; client_max_window_bits=7"))
            assert.is_nil(agreed("permessage-deflate; server_no_context_takeover; server_no_context_takeover"))
            assert.is_nil(agreed("x-webkit-deflate-frame"))
            local plain = open("/echo", { ["Sec-WebSocket-Extensions"] = OFFER })
            assert.is_nil(plain.head:find("Extensions", 1, true))
            plain:finish()
        end)

        it("sends long messages compressed, short ones as they are", function()
            local client = open("/zip", { ["Sec-WebSocket-Extensions"] = OFFER })
            client:send("short")
            local frame = client:read()
            assert.equal(0, frame.rsv)
            assert.equal("short", frame.payload)
            client:send(("long "):rep(1000))
            frame = client:read()
            assert.equal(4, frame.rsv)
            assert.is_true(#frame.payload < 100)
            assert.equal(1000, client:finish())
        end)
    end)

    describe("when one side leaves", function()
        it("answers the client's goodbye with its code and ends the connection", function()
            assert.equal(1000, open("/echo"):finish(1000))
            assert.equal(4321, open("/echo"):finish(4321))
        end)

        it("gives the handler all that came before, then the end", function()
            local client = open("/reader")
            client.connection:send(websocket.frame(websocket.TEXT, "a") .. websocket.frame(websocket.TEXT, "b")
                .. websocket.frame(websocket.TEXT, "c")
                .. websocket.frame(websocket.CLOSE, websocket.close_payload(4000, "bye")))
            assert.equal(4000, client:read().code)
            client.connection:close()
            site:wait_log("reader got: a,b,c, then 4000 bye")
        end)

        it("takes an end without a goodbye for 1006", function()
            local client = open("/reader")
            client:send("x")
            client.connection.socket:shutdown("send")
            client.connection:read_all()
            client.connection:close()
            site:wait_log("reader got: x, then 1006 it ended without a close")
        end)

        it("cancels a handler that does something else, when its close_timeout is over", function()
            local client = open("/mute")
            client:finish(1001)
            site:wait_log("mute ended: cancelled true 1001")
        end)

        it("says goodbye when the handler returns, and 1011 when it failed, with a traceback in the log", function()
            local client = open("/protocols")
            client:receive()
            assert.equal(1000, client:read().code)
            client:frame(websocket.CLOSE, websocket.close_payload(1000))
            assert.is_nil(client:read())
            client = open("/fails")
            client:send("x")
            assert.equal(1011, client:read().code)
            client:finish()
            local log = site:wait_log("on purpose")
            assert.matches("index.lua:%d+: on purpose", log)
            assert.matches("route=/fails", log)
        end)

        it("is no failure of a handler that could not send any more", function()
            local client = open("/late")
            client:send("x")
            client:finish()
            process.wait_for("the handler to end", function()
                return not site:call("ps").out:find("/late", 1, true)
            end)
            assert.is_nil(site:log():find("too late", 1, true))
            assert.is_nil(site:log():find("the WebSocket is closed", 1, true))
        end)

        it("says what the handler says, once", function()
            local client = open("/close?code=4001&reason=enough")
            local frame = client:read()
            assert.equal(4001, frame.code)
            assert.equal("enough", frame.payload)
            client:frame(websocket.CLOSE, websocket.close_payload(4001))
            assert.is_nil(client:read())
            site:wait_log("closed: closed closing 4001 nil")
        end)

        it("cuts a client that answers no goodbye, after close_timeout", function()
            local client = open("/mute")
            client:frame(websocket.CLOSE) -- and then it neither reads nor ends
            site:wait_log("mute ended: cancelled true 1005")
            client.connection:close()
        end)
    end)

    describe("keeps alive", function()
        it("with pings, and takes any sign of life", function()
            local client = open("/pings")
            for _ = 1, 3 do
                local frame = client:read()
                assert.equal(websocket.PING, frame.opcode)
                client:frame(websocket.PONG, frame.payload)
            end
            client:send("done")
            client:finish()
            site:wait_log("pings ended: nil")
        end)

        it("until nothing answers a ping", function()
            local client = open("/pings")
            assert.equal(websocket.PING, client:read().opcode)
            client.connection:read_all()
            client.connection:close()
            assert.is_true(true)
        end)
    end)

    describe("holds back", function()
        it("a handler whose client does not read, until send_timeout", function()
            local connection = site:connect()
            connection.socket:setoption("tcp-nodelay", true)
            websocket.connect(connection, "/flood")
            site:wait_log("flood ended: cancelled")
            connection:close()
        end)

        it("several tasks that send, and keeps their messages whole", function()
            local client, got = open("/many"), {}
            for _ = 1, 20 do
                got[#got + 1] = client:receive()
            end
            client:send("go on")
            assert.equal("all", client:receive())
            table.sort(got)
            for i, text in ipairs(got) do
                assert.is_true(text == ("%02d"):format(i):rep(50000))
            end
            client:finish()
        end)
    end)

    it("tells mistakes by their place", function()
        local client = open("/mistakes")
        assert.matches("^misuse: .*UTF%-8.*binary", client:receive())
        assert.matches("index.lua:%d+: ws:send: expected a text.*got a number", client:receive())
        assert.matches("expected one of binary, text", client:receive())
        assert.matches("1005 may not be sent", client:receive())
        assert.matches("expected a code of 1000 to 4999, got 12", client:receive())
        assert.matches("call it with a colon", client:receive())
        assert.matches("^misuse: another task receives", client:receive())
        client:finish()
    end)

    it("is in ps", function()
        local client, other = open("/reader"), open("/reader")
        local out = site:call("ps").out
        assert.matches("websocket%s+index: /reader ×2%s+open", out)
        client:finish()
        other:finish()
    end)

    it("leaves nothing behind", function()
        process.wait_for("the connections to be gone", function()
            return site:status().workers[1].connections <= 1
        end)
        assert.equal("plain", site:get("/plain").body)
    end)
end)

describe("app:ws refuses at load", function()
    local function failure(text)
        local dir = process.directory()
        process.make_directory(dir .. "/apps")
        process.write(dir .. "/apps/index.lua", "local app = require('moonloop').app()\n" .. text .. "\nreturn app\n")
        local result = process.run({ server.binary, "check", dir .. "/apps" })
        assert.equal(1, result.code)
        return result.out .. result.err
    end

    it("what it does not know, with the line", function()
        assert.matches("index.lua:2: app:ws: unknown option max_mesage; did you mean max_message",
            failure("app:ws('/x', { max_mesage = 1 }, print)"))
        assert.matches("index.lua:2: app:ws: max_message: expected 1 to",
            failure("app:ws('/x', { max_message = 0 }, print)"))
        assert.matches("index.lua:2: app:ws: ping_interval: expected a number",
            failure("app:ws('/x', { ping_interval = 'a' }, print)"))
        assert.matches("index.lua:2: app:ws: origins: expected",
            failure("app:ws('/x', { origins = 'example.com' }, print)"))
        assert.matches("index.lua:2: app:ws: protocols: expected",
            failure("app:ws('/x', { protocols = { 'a b' } }, print)"))
        assert.matches("index.lua:2: app:ws: expected a pattern", failure("app:ws('/x')"))
        assert.matches("index.lua:2", failure("app.ws('/x', print)"))
        assert.matches("index.lua:2: expected a pattern", failure("app:ws('x', print)"))
        assert.matches("index.lua:3: GET /x: this method already has a route.*index.lua:2",
            failure("app:get('/x', print)\napp:ws('/x', print)"))
    end)
end)
