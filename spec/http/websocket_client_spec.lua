--- The client's side of WebSockets: against apps in this process, a real server, another implementation.

local command = require("spec.support.command")
local http = require("moonloop.http")
local moonloop = require("moonloop")
local process = require("spec.support.process")
local server = require("spec.support.server")
local testing = require("moonloop.testing")

local APP = [[
local moonloop = require("moonloop")
local http = require("moonloop.http")
local app = moonloop.app()
local function echo(ws)
    for message, kind in ws:messages() do
        ws:send(kind == "text" and message or { binary = message })
    end
end
app:ws("/echo", { compress = true, protocols = { "chat.v1" } }, echo)
app:ws("/close", function(ws) ws:receive() ws:close(4001, "as asked") end)
app:ws("/through", function(ws, req)
    local behind = http.websocket(req.query.url)
    for message in ws:messages() do
        behind:send(message)
        ws:send(behind:receive())
    end
    behind:close()
end)
app:get("/plain", function() return "plain" end)
return app
]]

describe("client:websocket of moonloop.testing", function()
    local directory, client

    setup(function()
        directory = command.directory()
        command.write(directory .. "/index.lua", APP)
        client = testing.client(directory)
    end)

    teardown(function()
        client:close()
        command.remove(directory)
    end)

    it("speaks with a route of app:ws", function()
        local ws = client:websocket("/echo")
        assert.equal("open", ws.state)
        ws:send("hello")
        local message, kind = ws:receive()
        assert.equal("hello text", message .. " " .. kind)
        ws:send{ binary = "\0\255" }
        message, kind = ws:receive()
        assert.equal("\0\255 binary", message .. " " .. kind)
        ws:send{ json = { a = 1 } }
        assert.equal('{"a":1}', ws:receive())
        ws:close()
        assert.is_nil(ws:receive())
    end)

    it("tells subprotocol, code and reason", function()
        local ws = client:websocket("/echo", { protocols = { "chat.v0", "chat.v1" } })
        assert.equal("chat.v1", ws.protocol)
        ws:close()
        ws = client:websocket("/close")
        ws:send("x")
        assert.is_nil(ws:receive())
        assert.equal(4001, ws.close_code)
        assert.equal("as asked", ws.close_reason)
        assert.is_true(ws.closed)
        local ok, err = pcall(ws.send, ws, "y")
        assert.equal("closed", not ok and err.code)
    end)

    it("raises the status of an answer that is no 101", function()
        for path, status in pairs({ ["/plain"] = 200, ["/nowhere"] = 404 }) do
            local ok, err = pcall(client.websocket, client, path)
            assert.is_false(ok)
            assert.equal("refused", err.code)
            assert.equal(status, err.status)
        end
    end)

    it("compresses when both want to", function()
        local ws = client:websocket("/echo", { compress = true })
        local text = ("κόσμε "):rep(5000)
        ws:send(text)
        assert.is_true(text == ws:receive())
        ws:close()
    end)

    it("can be waited for with a deadline, and loses nothing by it", function()
        local ws = client:websocket("/echo")
        local ok, err = pcall(moonloop.timeout, 0.01, ws.receive, ws)
        assert.equal("timeout", not ok and err.code)
        ws:send("later")
        assert.equal("later", ws:receive())
        ws:close()
    end)
end)

describe("WebSockets with another implementation", function()
    local PEER = "spec/support/websocket_peer.py"

    teardown(server.clean)

    it("work as a server", function()
        local site = server.start({ apps = { ["index.lua"] = APP } })
        local url = ("ws://127.0.0.1:%d/echo"):format(site.port)
        local result = process.run({ "/usr/bin/python3", PEER, "ask", url })
        assert.equal("good\n", result.out, result.err)
    end)

    it("work as a client, and behind a handler", function()
        local peer = process.spawn({ "/usr/bin/python3", PEER, "serve" })
        local port = process.wait_for("the peer to serve", function()
            return peer:out():match("^(%d+)\n")
        end)
        local url = ("ws://127.0.0.1:%s/"):format(port)
        for _, options in ipairs({ {}, { compress = true } }) do
            local ws = http.websocket(url, options)
            for _, message in ipairs({ "", "hello", ("κόσμε"):rep(5000), ("x"):rep(70000) }) do
                ws:send(message)
                assert.is_true(ws:receive() == message)
            end
            ws:send("close")
            assert.is_nil(ws:receive())
            assert.equal(4001, ws.close_code)
        end
        local site = server.start({ apps = { ["index.lua"] = APP } })
        local ws = http.websocket(("ws://127.0.0.1:%d/through?url=%s"):format(site.port, url))
        ws:send("there and back")
        assert.equal("there and back", ws:receive())
        ws:close()
        peer:kill("TERM")
    end)
end)
