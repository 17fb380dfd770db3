--- The access log: a line per answer, and none that a client could forge.

local json = require("cjson")
local process = require("spec.support.process")
local server = require("spec.support.server")

local APP = [[
local moonloop = require("moonloop")
local app = moonloop.app()
app:get("/{rest...}", function() return "hello" end)
app:get("/stream", function(req, res) res:write("ab") res:write("cde") end)
app:get("/wait", function() moonloop.sleep(20) end)
return app
]]

describe("the access log", function()
    local dir, path
    before_each(function()
        dir = process.directory()
        path = dir .. "/access.log"
    end)
    after_each(server.clean)

    local function start(...)
        return server.start({ apps = { ["index.lua"] = APP }, options = { "--workers", "1", ... } })
    end

    local function wait_lines(count)
        local lines
        process.wait_for(count .. " lines", function()
            lines = {}
            for line in (process.read(path) or ""):gmatch("([^\n]*)\n") do
                lines[#lines + 1] = line
            end
            return #lines >= count
        end)
        return lines
    end

    it("has a line in the combined format for each answer", function()
        local site = start("--accesslog", path)
        local response = site:get("/a?b", { headers = { ["User-Agent"] = "x\"y", Referer = "z" } })
        site:get("/stream")
        site:raw("nonsense\r\n\r\n")
        local lines = wait_lines(3)
        assert.truthy(lines[1]:find(
            '^127%.0%.0%.1 %- %- %[%d%d/%a%a%a/%d+:%d%d:%d%d:%d%d %+0000%] "GET /a%?b HTTP/1%.1" '
            .. '200 5 "z" "x\\x22y" %d+%.%d%d%d%d%d%d ' .. response.headers["x-request-id"] .. "$"), lines[1])
        assert.truthy(lines[2]:find('"GET /stream HTTP/1.1" 200 5 ', 1, true), lines[2])
        assert.truthy(lines[3]:find('"- - HTTP/1.1" 400 ', 1, true), lines[3])
    end)

    it("has objects in JSON", function()
        local site = start("--accesslog", path, "--log-format", "json")
        local response = site:get("/a\"b", { headers = { ["User-Agent"] = "\27[31m\226\128\168" } })
        assert.equal(400, response.status)
        response = site:get("/a?b", { headers = { ["User-Agent"] = "\226\128\168\255" } })
        local line = json.decode(wait_lines(2)[2])
        assert.equal("GET", line.method)
        assert.equal("/a?b", line.target)
        assert.equal(200, line.status)
        assert.equal(5, line.bytes)
        assert.equal("127.0.0.1", line.remote_addr)
        assert.equal(response.headers["x-request-id"], line.request_id)
        assert.is_true(line.duration >= 0 and line.duration < 5)
    end)

    it("says 499 for a client that left before its answer", function()
        local site = start("--accesslog", path)
        local connection = site:connect()
        connection:send("GET /wait HTTP/1.1\r\nHost: a\r\n\r\n")
        site:wait_status("the request", function(status) return status.workers[1].in_flight == 1 end)
        connection:close()
        assert.truthy(wait_lines(1)[1]:find('"GET /wait HTTP/1.1" 499 0 ', 1, true))
    end)

    it("keeps the order and loses nothing under many requests", function()
        local site = start("--accesslog", path)
        local connection, requests = site:connect(), {}
        for i = 1, 500 do
            requests[i] = "GET /" .. i .. " HTTP/1.1\r\nHost: a\r\n\r\n"
        end
        connection:send(table.concat(requests))
        for _ = 1, 500 do
            assert.equal(200, connection:read_response().status)
        end
        connection:close()
        for i, line in ipairs(wait_lines(500)) do
            assert.truthy(line:find('"GET /' .. i .. ' HTTP', 1, true), line)
        end
    end)

    it("goes on in a new file after USR1", function()
        local site = start("--accesslog", path)
        site:get("/one")
        wait_lines(1)
        os.rename(path, path .. ".1")
        site:signal("USR1")
        process.wait_for("the new file", function() return process.read(path) end)
        site:get("/two")
        assert.truthy(wait_lines(1)[1]:find("/two", 1, true))
    end)

    it("on a full disk is lost, which is said once, and costs nobody an answer", function()
        local site = start("--accesslog", "/dev/full")
        for _ = 1, 5 do
            assert.equal(200, site:get("/a").status)
        end
        site:wait_log("No space left on device")
        local _, count = site:log():gsub("No space left on device", "")
        assert.equal(1, count)
    end)

    it("is off by default", function()
        local site = server.start({ apps = { ["index.lua"] = APP } })
        site:get("/a")
        assert.falsy((site.process:out() .. site:log()):find("GET /a", 1, true))
    end)
end)
