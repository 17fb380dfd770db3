--- Slow clients: each kind of waiting has its limit and its answer.

local process = require("spec.support.process")
local server = require("spec.support.server")
local socket = require("socket")

local APP = [[
local moonloop = require("moonloop")
local app = moonloop.app()
app:get("/", function() return "root" end)
app:post("/echo", function(req) return req:body() end)
app:post("/caught", function(req)
    local ok, err = pcall(req.body, req)
    return tostring(ok) .. " " .. err.code
end)
app:get("/sleep", { timeout = 0.3 }, function() moonloop.sleep(5) return "slept" end)
app:get("/large", function(req, res)
    local part = ("x"):rep(1024 * 1024)
    for _ = 1, 200 do res:write(part) end
end)
return app
]]

local SLACK = 1.5 -- deadlines are coarse, machines are busy

describe("time limits", function()
    local site, connection
    lazy_setup(function()
        site = server.start({ apps = { ["index.lua"] = APP }, options = {
            "--workers", "1", "--header-timeout", "0.5", "--body-timeout", "0.5", "--keepalive", "0.5",
            "--send-timeout", "0.5", "--min-body-rate", "5",
        } })
    end)
    lazy_teardown(server.clean)
    before_each(function()
        connection = site:connect()
        connection:set_timeout(4)
    end)
    after_each(function()
        connection:close()
    end)

    local function timed(fn)
        local from = socket.gettime()
        local result = fn()
        local took = socket.gettime() - from
        return result, took
    end

    local function check_within(took, seconds)
        assert.is_true(took >= seconds - 0.05 and took < seconds + SLACK, took .. " s")
    end

    it("408 for half a head", function()
        connection:send("GET / HTTP/1.1\r\nHost:")
        local response, took = timed(function() return connection:read_response() end)
        assert.equal(408, response.status)
        assert.equal("close", response.headers.connection)
        assert.equal("", connection:read_all())
        check_within(took, 0.5)
    end)

    it("408 for a head of which a byte comes now and then", function()
        connection:set_timeout(0.1)
        local from, response = socket.gettime(), nil
        for byte in ("GET /" .. ("x"):rep(100)):gmatch(".") do
            connection:send(byte)
            response = connection:read_response()
            if response then
                break
            end
        end
        assert.equal(408, response.status)
        check_within(socket.gettime() - from, 0.5)
    end)

    it("408 for half a body", function()
        connection:send("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhe")
        local response, took = timed(function() return connection:read_response() end)
        assert.equal(408, response.status)
        assert.equal("close", response.headers.connection)
        check_within(took, 0.5)
    end)

    it("tell the handler, which may answer something else", function()
        connection:send("POST /caught HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhe")
        assert.equal("false timeout", connection:read_response().body)
    end)

    it("let a body go on that is slow but moving", function()
        connection:send("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 8\r\n\r\n")
        for byte in ("slowly!!"):gmatch(".") do
            socket.sleep(0.15) -- what is tested: 8 bytes take longer than the limit for one step
            connection:send(byte)
        end
        assert.equal("slowly!!", connection:read_response().body)
    end)

    it("close an idle connection without an answer", function()
        assert.equal("root", connection:request("GET", "/").body)
        local rest, took = timed(function() return connection:read_all() end)
        assert.equal("", rest)
        check_within(took, 0.5)
    end)

    it("close a connection that never says anything without an answer", function()
        local rest, took = timed(function() return connection:read_all() end)
        assert.equal("", rest)
        check_within(took, 0.5)
    end)

    it("close a connection that sends only empty lines", function()
        connection:set_timeout(0.1)
        local from, closed = socket.gettime(), false
        while not closed and socket.gettime() - from < 3 do
            connection:send("\r\n")
            local _, reason = connection:read_response()
            closed = reason == "closed"
        end
        assert.is_true(closed)
    end)

    it("504 for a handler that takes longer than its route's timeout", function()
        local response, took = timed(function() return connection:request("GET", "/sleep") end)
        assert.equal(504, response.status)
        check_within(took, 0.3)
        assert.equal("root", connection:request("GET", "/").body)
    end)

    it("cut a client that does not read its answer", function()
        connection:send("GET /large HTTP/1.1\r\nHost: a\r\n\r\n")
        site:wait_status("the cut", function(status)
            return status.workers[1].in_flight == 0
        end)
    end)
end)

describe("a loop that stood still", function()
    after_each(server.clean)

    it("does not hold that against clients: what came meanwhile is looked at first", function()
        local site = server.start({ apps = { ["index.lua"] = [[
local ffi = require("ffi")
ffi.cdef("int usleep(unsigned int);")
local app = require("moonloop").app()
app:get("/", function() return "root" end)
app:get("/hold", function()
    assert(io.open("held", "w")):close()
    ffi.C.usleep(900000)
    ffi.C.usleep(900000)
    return "let go"
end)
return app
]] }, options = { "--workers", "1", "--block-limit", "0", "--header-timeout", "0.6", "--keepalive", "0.6" } })
        local half, idle, holding = site:connect(), site:connect(), site:connect()
        assert.equal("root", idle:request("GET", "/").body)
        half:send("GET / HTTP/1.1\r\nHost:")
        holding:send("GET /hold HTTP/1.1\r\nHost: a\r\n\r\n")
        process.wait_for("the loop to be held", function() return process.read(site.dir .. "/held") end)
        half:send(" a\r\n\r\n")
        idle:send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert.equal("let go", holding:read_response().body)
        assert.equal("root", half:read_response().body)
        assert.equal("root", idle:read_response().body)
    end)
end)
