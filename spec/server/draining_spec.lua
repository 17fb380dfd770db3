--- WebSockets and event streams over reloads and stops: they stay on their generation, are told, and closed after a
--- grace; nothing that was said in time is lost.

local process = require("spec.support.process")
local server = require("spec.support.server")
local websocket = require("spec.support.websocket")

--- VERSION and GRACE are replaced.
local APP = [[
local moonloop = require("moonloop")
local log = moonloop.log
local app = moonloop.app()

app:ws("/echo", { drain_timeout = GRACE }, function(ws)
    ws:on_draining(function(same)
        assert(same == ws and ws.draining)
        ws:send("draining VERSION")
    end)
    for message in ws:messages() do
        if not pcall(ws.send, ws, "VERSION " .. message) then
            log.info("received, not answered: " .. message)
        end
    end
    log.info(("echo VERSION ended: %s %s"):format(ws.close_code, ws.close_reason))
end)

app:ws("/goes", { drain_timeout = 60 }, function(ws)
    ws:on_draining(function() ws:close(3000, "come back") end)
    ws:receive()
end)

app:ws("/late", { drain_timeout = 60 }, function(ws)
    ws:receive()
    ws:send(tostring(ws.draining))
    ws:on_draining(function() ws:send("told at once") end)
    ws:receive()
end)

app:ws("/mute", { drain_timeout = 0, close_timeout = 0.05 }, function(ws)
    local ok, err = pcall(moonloop.sleep, 60)
    log.info("mute ended: " .. err.code)
end)

app:ws("/fails", { drain_timeout = 0 }, function(ws)
    ws:on_draining(function() error("in on_draining") end)
    ws:receive()
end)

app:sse("/events", { drain_timeout = GRACE, heartbeat = 0 }, function(stream)
    stream:send("begun VERSION")
    stream:on_draining(function() stream:send({ event = "draining", id = 7 }) end)
    local ok, err = pcall(moonloop.sleep, 60)
    log.info("events VERSION ended: " .. err.code)
end)
app:get("/", function() return "VERSION" end)
return app
]]

local function text(version, grace)
    return (APP:gsub("VERSION", version):gsub("GRACE", tostring(grace)))
end

local function start(grace, options, more)
    local given = {
        apps = { ["index.lua"] = text("one", grace) },
        options = options or { "--workers", "1", "--graceful-timeout", "20" },
    }
    for name, value in pairs(more or {}) do
        given[name] = value
    end
    return server.start(given)
end

local function open(site, path)
    local client = websocket.connect(site:connect(), path)
    assert.equal(101, client.status, client.head)
    return client
end

--- An event stream's connection, its head read.
local function listen(site, path)
    local connection = site:connect()
    connection:send(("GET %s HTTP/1.1\r\nHost: a\r\n\r\n"):format(path))
    assert.matches("^HTTP/1.1 200", connection:read_until("\r\n\r\n"))
    return connection
end

local function is_closed_with(client, code)
    local frame = assert(client:read())
    assert.equal(websocket.CLOSE, frame.opcode)
    assert.equal(code, frame.code)
    client:frame(websocket.CLOSE, websocket.close_payload(code))
    assert.is_nil(client:read())
    client.connection:close()
end

describe("a reload", function()
    after_each(server.clean)

    it("leaves sockets on their code, tells them, and closes them with 1012 after their grace", function()
        local site = start(1.5)
        local client = open(site, "/echo")
        client:send("a")
        assert.equal("one a", client:receive())
        site:write("index.lua", text("two", 1.5))
        assert.equal("draining one", client:receive())
        assert.equal("two", site:get("/").body)
        local fresh = open(site, "/echo")
        fresh:send("b")
        assert.equal("two b", fresh:receive())
        client:send("c") -- the old one still serves
        assert.equal("one c", client:receive())
        assert.matches("websocket%s+index: /echo%s+draining", site:call("ps").out)
        is_closed_with(client, 1012)
        site:wait_log("echo one ended: 1012 the server restarts")
        site:wait_status("the old generation to be freed", function(status)
            return status.workers[1].generations_alive == 1
        end)
        fresh:send("d")
        assert.equal("two d", fresh:receive())
        fresh:finish()
    end)

    it("loses nothing that was sent before the client heard of the close", function()
        local site = start(0.05)
        local client = open(site, "/echo")
        site:write("index.lua", text("two", 0.05))
        assert.equal("draining one", client:receive())
        assert.equal(1012, client:read().code)
        client:send("on its way")
        client:frame(websocket.CLOSE, websocket.close_payload(1012))
        assert.is_nil(client:read())
        site:wait_log("received, not answered: on its way")
    end)

    it("lets a handler choose its own goodbye", function()
        local site = start(1)
        local client = open(site, "/goes")
        site:write("index.lua", text("two", 1))
        is_closed_with(client, 3000)
    end)

    it("tells a handler that asks late", function()
        local site = start(1)
        local client = open(site, "/late")
        site:write("index.lua", text("two", 1))
        site:wait_log("generation 2 is live")
        client:send("x")
        assert.equal("true", client:receive())
        assert.equal("told at once", client:receive())
        client:finish()
    end)

    it("ends a handler that does not listen, and names an on_draining that fails", function()
        local site = start(1)
        local mute, failing = open(site, "/mute"), open(site, "/fails")
        site:write("index.lua", text("two", 1))
        assert.equal(1012, mute:read().code) -- which it does not answer
        site:wait_log("mute ended: cancelled")
        is_closed_with(failing, 1012)
        assert.matches("index.lua:%d+: in on_draining", site:wait_log("on_draining failed"))
        mute.connection:close()
    end)

    it("ends event streams in order, so that their clients come back to the new code", function()
        local site = start(0.3)
        local stream = listen(site, "/events")
        assert.matches("data: begun one\n\n", stream:read_until("\n\n"))
        site:write("index.lua", text("two", 0.3))
        assert.matches("event: draining\nid: 7\n\n", stream:read_until("\n\n"))
        assert.matches("\r\n0\r\n\r\n$", stream:read_until("\r\n0\r\n\r\n"))
        site:wait_log("events one ended: cancelled")
        stream:send("GET /events HTTP/1.1\r\nHost: a\r\nLast-Event-ID: 7\r\n\r\n") -- on the same connection
        assert.matches("^HTTP/1.1 200", stream:read_until("\r\n\r\n"))
        assert.matches("data: begun two\n\n", stream:read_until("\n\n"))
        stream:close()
    end)

    it("frees the old generation as soon as its last socket has gone, not when the grace is over", function()
        local site = start(60)
        local client = open(site, "/echo")
        site:write("index.lua", text("two", 60))
        assert.equal("draining one", client:receive())
        client:finish()
        site:wait_status("the old generation to be freed", function(status)
            return status.workers[1].generations_alive == 1
        end)
    end)
end)

describe("a stop", function()
    after_each(server.clean)

    it("tells sockets, closes them with 1001 after their grace, and ends when they have gone", function()
        local site = start(0.3)
        local client, stream = open(site, "/echo"), listen(site, "/events")
        site.process:kill("TERM")
        assert.equal("draining one", client:receive())
        client:send("still")
        assert.equal("one still", client:receive())
        assert.matches("event: draining", stream:read_until("draining"))
        is_closed_with(client, 1001)
        assert.matches("0\r\n\r\n$", stream:read_all())
        stream:close()
        local how, code = site.process:wait(10)
        assert.equal("exited 0", how .. " " .. code)
    end)

    it("does not wait for the grace when nobody is there", function()
        local site = start(60)
        open(site, "/goes") -- goes by itself
        site.process:kill("TERM")
        local how, code = site.process:wait(10)
        assert.equal("exited 0", how .. " " .. code)
    end)

    it("gives half of graceful_timeout at most", function()
        local site = start(60, { "--workers", "1", "--graceful-timeout", "1" })
        local client = open(site, "/echo")
        site.process:kill("TERM")
        assert.equal("draining one", client:receive())
        is_closed_with(client, 1001)
        local how, code = site.process:wait(10)
        assert.equal("exited 0", how .. " " .. code)
        assert.is_nil(site:log():find("graceful_timeout is over", 1, true))
    end)

    it("while sockets of a reload are in their grace shortens it", function()
        local site = start(60, { "--workers", "1", "--graceful-timeout", "1" })
        local client = open(site, "/echo")
        site:write("index.lua", text("two", 60))
        assert.equal("draining one", client:receive())
        site.process:kill("TERM")
        is_closed_with(client, 1001)
        local how, code = site.process:wait(10)
        assert.equal("exited 0", how .. " " .. code)
    end)
end)

describe("another worker in the place of one", function()
    after_each(server.clean)

    local function check(site, replace)
        local clients = {}
        for i = 1, 4 do
            clients[i] = open(site, "/echo")
        end
        local stream = listen(site, "/events")
        replace()
        for i, client in ipairs(clients) do
            assert.equal("draining one", client:receive())
            client:send("message " .. i)
            assert.equal("one message " .. i, client:receive())
        end
        for _, client in ipairs(clients) do
            is_closed_with(client, 1012)
        end
        assert.matches("\r\n0\r\n\r\n$", stream:read_until("\r\n0\r\n\r\n"))
        stream:close()
        local again = open(site, "/echo")
        again:send("again")
        assert.equal("one again", again:receive())
        again:finish()
    end

    it("by `moonloop restart` closes with 1012", function()
        local site = start(0.5, { "--workers", "2" })
        check(site, function()
            assert.equal(0, site:call("restart").code)
        end)
    end)

    it("by max_requests closes with 1012", function()
        local site = start(0.5, { "--workers", "1", "--max-requests", "20" })
        check(site, function()
            for _ = 1, 20 do
                site:get("/")
            end
        end)
    end)

    it("by an upgrade of the binary closes with 1012", function()
        local dir = process.directory()
        process.write(dir .. "/moonloop", process.read(server.binary))
        assert(require("posix.sys.stat").chmod(dir .. "/moonloop", 493))
        local site = start(0.5, { "--workers", "2" }, {
            dir = dir, binary = dir .. "/moonloop",
            env = { MOONLOOP_LUA_DIR = require("posix.unistd").getcwd() .. "/lua" },
        })
        check(site, function()
            site:signal("USR2")
        end)
        site:wait_log("the upgrade is done", 30)
    end)
end)
