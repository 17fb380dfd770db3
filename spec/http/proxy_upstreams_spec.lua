--- moonloop.proxy over real sockets: servers that misbehave, upgrades, several servers.

local json = require("moonloop.json")
local process = require("spec.support.process")
local relay = require("spec.support.relay")
local server = require("spec.support.server")

local to = relay.to

describe("moonloop.proxy, when all is not well or not plain HTTP,", function()
    local site, upstream

    setup(function()
        site, upstream = relay.start()
    end)

    teardown(function()
        server.clean()
        upstream:stop()
    end)

    describe("an upstream that gives no answer", function()
        local function fails(steps, how)
            local _, port = upstream:script(steps)
            return site:get(to(port, "/secret", how)), port
        end

        it("is a 502 that says nothing of what is behind; the log does", function()
            for _, steps in ipairs({
                { "read", "close" }, { "read", "reset" },
                { "read", { "send", "HTTP/1.1 200 OK\r\nContent-" }, "close" },
                { "read", { "send", "garbage\r\n\r\n" } }, { "read", { "send", "SSH-2.0-x\r\n" }, "close" },
                { "read", { "send", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n" } },
            }) do
                local response, port = fails(steps)
                assert.equal(502, response.status)
                assert.equal("bad gateway: the server behind this one gave no answer\n", response.body)
                site:wait_log(("proxy: GET http://127.0.0.1:%d/secret:"):format(port))
            end
        end)

        it("is a 502 when it refuses", function()
            assert.equal(502, site:get("/to/1/").status)
            site:wait_log("GET http://127.0.0.1:1/: Connection refused")
        end)

        it("is a 504 when it takes too long", function()
            local response = fails({ "read", "wait" }, "brief")
            assert.equal(504, response.status)
            assert.equal("gateway timeout: the server behind this one took too long\n", response.body)
        end)

        it("is what on_error makes of it", function()
            local response = fails({ "read", "close" }, "sorry")
            assert.equal(502, response.status)
            assert.equal("yes", response.headers["x-sorry"])
            assert.same({ code = "closed", cause = "while waiting for the answer" }, json.decode(response.body))
        end)
    end)

    describe("an upgrade", function()
        local function ask(path, more)
            local connection = site:connect()
            connection:send(("GET %s HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: echo\r\n%s\r\n")
                :format(path, more or ""))
            return connection
        end

        it("goes through, with the fields of both sides and what is glued behind", function()
            local connection = ask(to(site.port, "/echo-protocol"), "X-Key: 7\r\n")
            connection:send("early ")
            local head = connection:read_until("\r\n\r\n")
            assert.matches("^HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n", head)
            assert.matches("\r\nX%-Accepted: 7\r\n", head)
            connection:send("hello")
            assert.equal("early hello", connection:read_bytes(11))
            connection.socket:shutdown("send")
            assert.equal("bye", connection:read_all())
            connection:close()
        end)

        it("carries a WebSocket handshake and frames", function()
            local frame = "\129\5Hello"
            local _, port = upstream:script({ "read", { "send", "HTTP/1.1 101 Switching Protocols\r\n"
                .. "Upgrade: websocket\r\nConnection: Upgrade\r\n"
                .. "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n" .. frame }, "wait" })
            local connection = site:connect()
            connection:send(("GET %s HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n"
                .. "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
                .. "\129\133abcdxxxxx"):format(to(port, "/chat")))
            assert.matches("Sec%-WebSocket%-Accept: s3pPLMBiTxaQ9kYGzzhZRbK%+xOo=", connection:read_until("\r\n\r\n"))
            assert.equal(frame, connection:read_bytes(#frame))
            connection:close()
            assert.matches("end 11", upstream:log(port, 3)[3])
        end)

        it("may be answered otherwise", function()
            local connection = ask(to(upstream.port, "/echo"))
            local response = connection:read_response()
            assert.equal(200, response.status)
            assert.matches("\r\nUpgrade: echo\r\n", response.body)
            connection:close()
        end)

        it("stays behind where it is not wanted, and for h2c", function()
            local connection = ask(to(upstream.port, "/echo", "noup"))
            assert.is_nil(connection:read_response().body:find("Upgrade", 1, true))
            connection:close()
            connection = site:connect()
            connection:send(("GET %s HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
                .. "HTTP2-Settings: AA\r\n\r\n"):format(to(upstream.port, "/echo")))
            local text = connection:read_response().body
            assert.is_nil(text:find("Upgrade", 1, true))
            assert.is_nil(text:find("HTTP2", 1, true))
            connection:close()
        end)

        it("ends when it is silent for tunnel_timeout", function()
            local connection = ask(to(site.port, "/echo-protocol", "silent"))
            connection:read_until("\r\n\r\n")
            connection:read_all()
            connection:close()
            site:wait_log("was silent for 0.1 seconds")
        end)

        it("ends for one side when the other is gone", function()
            local _, port = upstream:script({ "read", { "send", "HTTP/1.1 101 Switching Protocols\r\n"
                .. "Upgrade: echo\r\nConnection: Upgrade\r\n\r\n" }, "pause", "reset" })
            local connection = ask(to(port, "/"))
            connection:read_until("\r\n\r\n")
            connection:read_all()
            connection:close()
            local second, other = upstream:script({ "read", { "send", "HTTP/1.1 101 Switching Protocols\r\n"
                .. "Upgrade: echo\r\nConnection: Upgrade\r\n\r\n" }, "wait" })
            assert.is_string(second)
            connection = ask(to(other, "/"))
            connection:read_until("\r\n\r\n")
            connection.socket:setoption("linger", { on = true, timeout = 0 })
            connection:close()
            assert.matches("^%a+ 0", upstream:log(other, 3)[3])
        end)
    end)

    describe("several upstreams", function()
        local OK = { "read", { "send", "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok" }, "wait" }

        local function pair(path, a, b)
            return ("/pair/%d/%d%s"):format(a, b, path)
        end

        local function script(...)
            local _, port = upstream:script(...)
            return port
        end

        it("take requests in turn", function()
            local a, b = script(OK), script(OK)
            for _ = 1, 4 do
                assert.equal("ok", site:get(pair("/", a, b)).body)
            end
            local rows = json.decode(site:get(("/status/%d/%d"):format(a, b)).body)
            assert.equal(2, rows[1].requests)
            assert.equal(2, rows[2].requests)
        end)

        it("take over what another refuses, whatever it is", function()
            local good = script(OK)
            for _ = 1, 3 do
                assert.equal("ok", site:request("POST", pair("/", 1, good), { body = "x" }).body)
            end
            local rows = json.decode(site:get(("/status/%d/%d"):format(1, good)).body)
            assert.equal("down", rows[1].state)
            assert.equal(3, rows[2].requests)
            assert.is_true(rows[1].down_for > 0)
            assert.matches("refused", rows[1].last_error)
        end)

        it("take over a body that streams, as long as nothing of it was sent", function()
            local good = script({ "read", { "send", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok" } })
            local connection = site:connect()
            connection:send(("POST %s HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\nabc"):format(pair("/x", 2, good)))
            site:wait_log("http://127.0.0.1:2/pair")
            connection:send("def")
            assert.equal("ok", connection:read_response().body)
            connection:close()
        end)

        it("take over an idempotent request that another has seen, and no other one", function()
            local bad, good = script({ "read", "close" }), script(OK)
            assert.equal("ok", site:get(pair("/", bad, good)).body)
            bad, good = script({ "read", "close" }), script(OK)
            assert.equal(502, site:request("POST", pair("/", bad, good), { body = "x" }).status)
            assert.equal(0, json.decode(site:get(("/status/%d/%d"):format(bad, good)).body)[2].requests)
        end)

        it("take over what fail_on counts as a failure, and pass it on when there is no other", function()
            local wire = "HTTP/1.1 503 No\r\nConnection: close\r\nContent-Length: 5\r\n\r\nsorry"
            local sorry = { "read", { "send", wire }, "wait" }
            local bad, good = script(sorry), script(OK)
            assert.equal("ok", site:get(pair("/", bad, good)).body)
            bad, good = script(sorry), script(sorry)
            local response = site:get(pair("/", bad, good))
            assert.equal(503, response.status)
            assert.equal("sorry", response.body)
        end)

        it("are not asked again once a byte of an answer has gone on", function()
            local wire = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"
            local bad = script({ "read", { "send", wire }, "pause", "close" })
            local good = script(OK)
            local connection = site:connect()
            connection:send(("GET %s HTTP/1.1\r\nHost: a\r\n\r\n"):format(pair("/", bad, good)))
            local text = connection:read_all()
            connection:close()
            assert.is_nil(text:find("ok", 1, true))
            assert.equal(0, json.decode(site:get(("/status/%d/%d"):format(bad, good)).body)[2].requests)
        end)

        it("are a 503 with Retry-After when none is well, until one is found to be", function()
            local fails, works = { "read", "close" }, OK
            local a = script(fails, fails, works)
            local b = script(fails, fails, works)
            assert.equal(502, site:get(pair("/", a, b)).status)
            assert.equal(502, site:get(pair("/", a, b)).status)
            local response = site:get(pair("/", a, b))
            assert.equal(503, response.status)
            assert.equal("1", response.headers["retry-after"])
            process.wait_for("a server to be tried again", function()
                return site:get(pair("/", a, b)).status == 200
            end)
            local states = {}
            for _, row in ipairs(json.decode(site:get(("/status/%d/%d"):format(a, b)).body)) do
                states[row.state] = true
            end
            assert.is_true(states.up)
        end)

        it("are seen in moonloop ps", function()
            local good = script(OK)
            site:get(pair("/", 1, good))
            local text = site:call("ps").out
            assert.matches("upstream%s+http://127.0.0.1:" .. good, text)
        end)
    end)
end)
