--- app:sse: event streams through a real server.

local process = require("spec.support.process")
local server = require("spec.support.server")

local APP = [[
local moonloop = require("moonloop")
local log = moonloop.log
local app = moonloop.app()

app:sse("/events", { heartbeat = 0 }, function(stream, req)
    stream:send("plain")
    stream:send{ data = "two\nlines", event = "note", id = 5 }
    stream:send{ data = "a\r\nb\rc\n", id = "x" }
    stream:send{ data = { list = { 1, 2 } } }
    stream:send{ data = 7 }
    stream:send{ data = "" }
    stream:send{ retry = 1.5 }
    stream:comment("note\nto self")
    stream:send{ data = "last: " .. tostring(stream.last_event_id) .. " " .. req.query.a }
end)
app:sse("/beats", { heartbeat = 0.05, retry = 3 }, function(stream)
    moonloop.sleep(60)
end)
app:sse("/long", { heartbeat = 0 }, function(stream)
    local ok, err = pcall(moonloop.sleep, 60)
    log.info("long ended: " .. err.code)
end)
app:sse("/outlives", { heartbeat = 0 }, function(stream)
    moonloop.sleep(0.4)
    stream:send("outlived")
end)
app:sse("/flood", { heartbeat = 0.01 }, function(stream)
    local sent = 0
    local ok, err = pcall(function()
        while true do
            stream:send(("x"):rep(65536))
            sent = sent + 1
            log.info("sent " .. sent)
        end
    end)
    log.info("flood ended: " .. err.code)
end)
app:sse("/several", { heartbeat = 0 }, function(stream)
    local tasks = {}
    for i = 1, 20 do
        tasks[i] = moonloop.spawn(function() stream:send{ data = ("%02d"):format(i):rep(50000) } end)
    end
    for _, task in ipairs(tasks) do task:wait() end
end)
app:sse("/fails", function(stream)
    stream:send("before")
    error("on purpose")
end)
app:sse("/limited", { limit = 1 }, function(stream)
    stream:send("in")
    moonloop.sleep(60)
end)
app:sse("/mistakes", { heartbeat = 0 }, function(stream)
    local function report(event)
        local ok, err = pcall(function() stream:send(event) end)
        stream:send(err)
    end
    report{ data = "x", event = "a\nb" }
    report{ data = "x", id = "a\0b" }
    report{ data = "x", retry = 100000 }
    report{ date = "x" }
    report(true)
end)
app:group("/private", function(group)
    group:use(function(req, res, next) moonloop.abort(401, "no\n") end)
    group:sse("/events", function() end)
end)
return app
]]

describe("app:sse", function()
    local site

    setup(function()
        site = server.start({
            apps = { ["index.lua"] = APP }, options = { "--workers", "1", "--send-timeout", "1", "--timeout", "0.2" },
        })
    end)

    teardown(server.clean)

    local function open(path)
        local connection = site:connect()
        connection:send(("GET %s HTTP/1.1\r\nHost: a\r\n\r\n"):format(path))
        return connection, connection:read_until("\r\n\r\n")
    end

    --- The text of the next chunk.
    local function chunk(connection)
        local size = tonumber(connection:read_until("\r\n"):match("^%x+"), 16)
        local text = connection:read_bytes(size)
        connection:read_bytes(2)
        return text
    end

    it("answers with the fields that keep it from being held back on its way", function()
        local answer = site:request("GET", "/events?a=b", { headers = { ["Last-Event-ID"] = "41" } })
        assert.equal(200, answer.status)
        assert.equal("text/event-stream", answer.headers["content-type"])
        assert.equal("no-cache", answer.headers["cache-control"])
        assert.equal("no", answer.headers["x-accel-buffering"])
        assert.equal(table.concat({
            "data: plain\n\n",
            "event: note\nid: 5\ndata: two\ndata: lines\n\n",
            "id: x\ndata: a\ndata: b\ndata: c\ndata: \n\n",
            'data: {"list":[1,2]}\n\n',
            "data: 7\n\n",
            "data: \n\n",
            "retry: 1500\n\n",
            ": note\n: to self\n\n",
            "data: last: 41 b\n\n",
        }), answer.body)
    end)

    it("answers HEAD without running the handler", function()
        local answer = site:request("HEAD", "/long")
        assert.equal(200, answer.status)
        assert.equal("text/event-stream", answer.headers["content-type"])
    end)

    it("sends its head at once, how long to wait, and comments while nothing is sent", function()
        local connection, head = open("/beats")
        assert.matches("^HTTP/1.1 200 OK\r\n", head)
        assert.equal("retry: 3000\n\n", chunk(connection))
        assert.equal(": \n\n", chunk(connection))
        assert.equal(": \n\n", chunk(connection))
        connection:close()
    end)

    it("outlives the timeout of its route", function()
        local connection = open("/outlives")
        assert.equal("data: outlived\n\n", chunk(connection))
        connection:close()
    end)

    it("is cancelled when the client leaves", function()
        local connection = open("/long")
        assert.matches("sse%s+index: /long%s+open", site:call("ps").out)
        connection:close()
        site:wait_log("long ended: cancelled")
    end)

    it("holds a handler back whose client does not read, until send_timeout", function()
        local connection = open("/flood")
        site:wait_log("flood ended: cancelled")
        connection:close()
    end)

    it("keeps events whole that several tasks send", function()
        local seen = {}
        for text in site:get("/several").body:gmatch("data: (%d+)\n\n") do
            assert.equal(100000, #text)
            seen[text:sub(1, 2)] = true
        end
        for i = 1, 20 do
            assert.is_true(seen[("%02d"):format(i)])
        end
    end)

    it("ends when its handler fails, with what was sent before, and the place in the log", function()
        assert.equal("data: before\n\n", site:get("/fails").body)
        assert.matches("index.lua:%d+: on purpose", site:wait_log("on purpose"))
    end)

    it("is limited, and comes after the middleware", function()
        local connection = open("/limited")
        chunk(connection)
        assert.equal(503, site:get("/limited").status)
        connection:close()
        assert.equal(401, site:get("/private/events").status)
    end)

    it("tells mistakes by their place", function()
        local body = site:get("/mistakes").body
        assert.matches("index.lua:%d+: stream:send: event: expected one line of text, "
            .. "got a text with a line break", body)
        assert.matches("id: expected one line", body)
        assert.matches("retry: expected 0 to 86400 seconds, got 100000", body)
        assert.matches("stream:send: unknown option date; did you mean data", body)
        assert.matches("expected a text, or a table with data, event, id, retry, got a boolean", body)
    end)

    it("leaves nothing behind", function()
        process.wait_for("the streams to be gone", function()
            return not site:call("ps").out:find("sse", 1, true)
        end)
    end)
end)
