--- Slow and greedy clients: what each may take, what it is answered, and that others do not notice.

local process = require("spec.support.process")
local server = require("spec.support.server")
local socket = require("socket")

local APP = [[
local moonloop = require("moonloop")
local app = moonloop.app()
app:get("/", function() return "root" end)
app:post("/echo", function(req) return req:body() end)
app:post("/unread", function() return "done" end)
app:get("/large", function(req, res)
    local part = ("x"):rep(1024 * 1024)
    for _ = 1, 64 do res:write(part) end
end)
app:get("/whole", function() return ("x"):rep(32 * 1024 * 1024) end)
local files = {}
app:get("/take", function()
    local file
    repeat
        file = io.open("/dev/null")
        files[#files + 1] = file
    until not file
    return "taken"
end)
app:get("/give", function()
    for _, file in ipairs(files) do file:close() end
    files = {}
    return "given"
end)
return app
]]

local GET = "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
local HALF = "GET / HTTP/1.1\r\nHost: a\r\nUser-Agent: half a head\r\nAccept:"

local function start(...)
    return server.start({ apps = { ["index.lua"] = APP }, options = { "--workers", "1", ... } })
end

local function post(path, length)
    return ("POST %s HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n"):format(path, length)
end

---Sends a byte every 50 ms until there is an answer or an end; it and how long that took.
local function trickle(connection, seconds)
    connection:set_timeout(0.05)
    local from = socket.gettime()
    local response, reason
    repeat
        connection:send("x")
        response, reason = connection:read_response()
    until response or reason == "closed" or socket.gettime() - from > seconds
    return response, socket.gettime() - from, reason
end

describe("a client that sends a body slowly", function()
    lazy_teardown(server.clean)
    local site
    lazy_setup(function()
        site = start("--body-timeout", "0.5", "--min-body-rate", "100", "--max-body", "100000")
    end)

    it("is answered 408 when what comes does not pay for the waiting", function()
        local connection = site:connect()
        connection:send(post("/echo", 1000))
        local response, took = trickle(connection, 5)
        assert.equal(408, response.status)
        assert.equal("close", response.headers.connection)
        assert.is_true(took >= 0.5 and took < 3, took .. " s")
    end)

    it("may pause once it has sent enough", function()
        local connection = site:connect()
        connection:send(post("/echo", 4000))
        for _ = 1, 4 do
            socket.sleep(0.3) -- what is tested: pauses that are longer than body_timeout together
            connection:send(("x"):rep(1000))
        end
        assert.equal(4000, #connection:read_response().body)
    end)

    it("is not read for ever when nobody wants the body", function()
        local connection = site:connect()
        connection:send(post("/unread", 60000))
        assert.equal("done", connection:read_response().body)
        local response, took, reason = trickle(connection, 5)
        assert.is_nil(response)
        assert.equal("closed", reason)
        assert.is_true(took < 3, took .. " s")
    end)
end)

describe("a client that takes its answer slowly", function()
    lazy_teardown(server.clean)

    it("is reset when it takes less than min_send_rate", function()
        local site = start("--send-timeout", "0.5", "--min-send-rate", "100M")
        local connection = site:connect()
        connection:send("GET /whole HTTP/1.1\r\nHost: a\r\n\r\n")
        local from = socket.gettime()
        local bytes, reason
        repeat
            bytes, reason = connection:read_bytes(100000)
            socket.sleep(0.02) -- what is tested: 5 MB a second at most
        until not bytes or socket.gettime() - from > 10
        assert.equal("closed", reason)
        assert.is_true(socket.gettime() - from < 4)
    end)

    it("is let go on when it moves, however long that takes", function()
        local site = start("--send-timeout", "2", "--min-send-rate", "100K")
        local connection = site:connect()
        connection:send("GET /large HTTP/1.1\r\nHost: a\r\n\r\n")
        for _ = 1, 20 do
            assert(connection:read_bytes(1500000))
            socket.sleep(0.15) -- what is tested: it takes longer than send_timeout
        end
        assert(connection:read_bytes(30 * 1024 * 1024))
    end)
end)

describe("keepalive_requests", function()
    lazy_teardown(server.clean)

    it("closes the connection behind the last one, which says so", function()
        local connection = start("--keepalive-requests", "3"):connect()
        for i = 1, 3 do
            local response = connection:request("GET", "/")
            assert.equal(200, response.status)
            assert.equal(i == 3 and "close" or nil, response.headers.connection)
        end
        assert.equal("", connection:read_all())
    end)
end)

describe("limit_connections_per_ip", function()
    local site
    after_each(server.clean)

    ---That many connections which have had an answer.
    local function connect(count, from)
        local held = {}
        for i = 1, count do
            held[i] = site:connect(from)
            assert.equal(200, held[i]:request("GET", "/").status)
        end
        return held
    end

    it("answers 503 beyond it, and only to that address", function()
        site = start("--limit-connections-per-ip", "3")
        local held = connect(3, "127.0.0.2")
        local fourth = site:connect("127.0.0.2")
        fourth:send(GET)
        local response = fourth:read_response()
        assert.equal(503, response.status)
        assert.equal("1", response.headers["retry-after"])
        assert.equal("close", response.headers.connection)
        assert.equal("", fourth:read_all())
        connect(3, "127.0.0.3")
        held[1]:close()
        fourth:close()
        process.wait_for("a place to get free", function()
            local next_one = site:connect("127.0.0.2")
            local status = next_one:request("GET", "/").status
            next_one:close()
            return status == 200
        end)
        local _, count = site:log():gsub("127%.0%.0%.2 has 4 connections", "")
        assert.equal(1, count)
    end)

    it("closes without an answer beyond twice as many", function()
        site = start("--limit-connections-per-ip", "2")
        local held = connect(2, "127.0.0.2")
        for i = 3, 4 do
            held[i] = site:connect("127.0.0.2")
            assert.equal(503, held[i]:read_response().status) -- it stays a moment to be read
        end
        local is_connected, fifth = pcall(site.connect, site, "127.0.0.2")
        if is_connected then -- the reset was not faster
            fifth:send(GET)
            assert.equal("", fifth:read_all())
        end
        connect(1, "127.0.0.3")
    end)

    it("does not count trusted proxies", function()
        site = start("--limit-connections-per-ip", "1")
        connect(5)
    end)

    it("counts all workers together, and forgets those of a worker that is killed", function()
        site = server.start({ apps = { ["index.lua"] = APP }, options = {
            "--workers", "2", "--limit-connections-per-ip", "4",
        } })
        local held = connect(4, "127.0.0.2")
        assert.equal(503, site:connect("127.0.0.2"):read_response().status)
        for _, pid in ipairs(site:worker_pids()) do
            process.kill(pid, "KILL")
        end
        for _, connection in ipairs(held) do
            connection:read_all()
        end
        site:wait_status("new workers", function(status)
            return status.workers[1].state == "serving" and status.workers[2].state == "serving"
                and status.workers[1].connections + status.workers[2].connections == 0
        end)
        connect(4, "127.0.0.2")
    end)
end)

describe("clients that hold connections", function()
    after_each(server.clean)

    it("cost others nothing while they send half a head", function()
        local site = start("--max-connections", "1000")
        local held = {}
        for i = 1, 1500 do
            held[i] = site:connect("127.0.0.2")
            held[i]:send(HALF)
            if i % 50 == 0 then
                assert.equal("root", site:get("/").body)
            end
        end
        local _, count = site:log():gsub("which is the limit", "")
        assert.equal(1, count)
    end)

    it("get the answer to a body that was refused while they still send it", function()
        local connection = start():connect()
        connection:send(post("/echo", 1000000000))
        for _ = 1, 12 do
            assert(connection:send(("x"):rep(100000)))
            socket.sleep(0.25) -- what is tested: longer than a silent client has
        end
        assert.equal(413, connection:read_response().status)
    end)
end)

describe("a worker without descriptors", function()
    after_each(server.clean)

    local function cpu_seconds(pid)
        local fields = process.read("/proc/" .. pid .. "/stat"):match("%) (.*)")
        local user, system = fields:match("^" .. ("%S+ "):rep(11) .. "(%d+) (%d+)")
        return (tonumber(user) + tonumber(system)) / 100
    end

    it("accepts again as soon as there are some, says so once and burns no time", function()
        local site = server.start({ apps = { ["index.lua"] = APP }, prefix = "ulimit -n 200; exec" })
        local pid = site:worker_pids()[1]
        local inside = site:connect()
        for _ = 1, 3 do
            assert.equal("taken", inside:request("GET", "/take").body)
            local outside = site:connect()
            outside:send(GET)
            outside:set_timeout(0.5)
            local from = cpu_seconds(pid)
            assert.is_nil((outside:read_response()))
            assert.is_true(cpu_seconds(pid) - from < 0.1)
            assert.equal("given", inside:request("GET", "/give").body)
            outside:set_timeout(5)
            assert.equal("root", outside:read_response().body)
            outside:close()
        end
        local _, count = site:wait_log("cannot accept"):gsub("cannot accept", "")
        assert.equal(1, count)
    end)
end)
