--- Offload through a real server: handlers on threads, beside a loop that goes on.

local process = require("spec.support.process")
local server = require("spec.support.server")

local BLOCKING = [[
local moonloop = require("moonloop")
local ffi = require("ffi")
ffi.cdef("int usleep(unsigned int);")
local app = moonloop.app()
app:get("/block", { run = "thread" }, function()
    ffi.C.usleep(500000)
    return "blocked\n"
end)
app:get("/burn", function()
    return { sum = moonloop.offload(function()
        local sum = 0
        for i = 1, 1e9 do
            sum = sum + i
        end
        return sum
    end) }
end)
app:get("/", function() return "here\n" end)
return app
]]

local WHOLE = [[
local moonloop = require("moonloop")
local words = require("words")
local app = moonloop.app({ run = "thread" })
app:use(function(req, res, next)
    res.headers["X-Middleware"] = req.method
    return next()
end)
app:post("/echo/{n:int}", function(req, res)
    res.status = 201
    res:cookie("seen", "yes")
    return {
        n = req.params.n, all = req:query_all("x"), header = req.headers["X-FOO"], cookie = req.cookies.k,
        json = req:json(), app = req.app, route = req.route, word = words.hello,
    }
end)
app:post("/form", function(req) return req:form().a end)
app:get("/abort", function() moonloop.abort(418, "tea\n", { ["X-Tea"] = "green" }) end)
app:get("/boom", function() error("boom") end)
app:get("/write", function(_, res) res:write("x") end)
app:get("/nothing", function() end)
app:get("/log", function() moonloop.log.info("from a thread") return "logged\n" end)
app:get("/late", { timeout = 0.2 }, function() moonloop.sleep(30) end)
app:get("/version", function() return words.version .. "\n" end)
app:get("/upvalue", { run = "loop" }, function() return moonloop.offload(function() return words.hello end) end)
app:not_found(function(req) return "no " .. req.path .. "\n" end)
return app
]]

local function words(version)
    return ('return { hello = "hello", version = "%s" }'):format(version)
end

local function start(apps, ...)
    return server.start({ apps = apps, options = { "--workers", "1", "--threads", "10", ... } })
end

--- Sends one request on each of `count` connections, then reads the answers.
local function together(site, count, target)
    local connections, answers = {}, {}
    for i = 1, count do
        connections[i] = site:connect()
        connections[i]:send(("GET %s HTTP/1.1\r\nHost: a\r\n\r\n"):format(target))
    end
    for i, connection in ipairs(connections) do
        answers[i] = connection:read_response("GET")
        connection:close()
    end
    return answers
end

local function seconds(fn)
    local socket = require("socket")
    local begin = socket.gettime()
    local result = fn()
    return socket.gettime() - begin, result
end

describe("a handler that runs on a thread", function()
    after_each(server.clean)

    it("blocks nobody: ten at once take as long as one", function()
        local site = start({ ["slow.lua"] = BLOCKING })
        local taken, answers = seconds(function()
            return together(site, 10, "/slow/block")
        end)
        assert.equal(10, #answers)
        for _, answer in ipairs(answers) do
            assert.same({ 200, "blocked\n" }, { answer.status, answer.body })
        end
        assert.is_true(taken < 2.5, "took " .. taken .. " s, one after the other would be 5 s")
    end)

    it("leaves the loop free while another request burns the CPU", function()
        local site = start({ ["slow.lua"] = BLOCKING })
        local busy = site:connect()
        busy:set_timeout(60)
        busy:send("GET /slow/burn HTTP/1.1\r\nHost: a\r\n\r\n")
        for _ = 1, 5 do
            assert.equal("here\n", site:get("/slow/").body)
        end
        local answer = busy:read_response("GET")
        assert.equal(200, answer.status)
        assert.matches("%d", answer.body)
    end)

    it("has the request and the response of any other", function()
        local site = start({ ["all.lua"] = WHOLE, ["_lib/words.lua"] = words("one") })
        local answer = site:request("POST", "/all/echo/7?x=1&x=2", {
            headers = { ["X-Foo"] = "bar", Cookie = "k=v" }, body = '{"a":[1,2]}',
        })
        assert.equal(201, answer.status)
        assert.equal("application/json", answer.headers["content-type"])
        assert.equal("POST", answer.headers["x-middleware"])
        assert.matches("^seen=yes", answer.headers["set-cookie"])
        assert.same({
            n = 7, all = { "1", "2" }, header = "bar", cookie = "v", json = { a = { 1, 2 } }, app = "all",
            route = "/all/echo/{n:int}", word = "hello",
        }, require("cjson").decode(answer.body))
        assert.equal("1 2", site:request("POST", "/all/form", {
            headers = { ["Content-Type"] = "application/x-www-form-urlencoded" }, body = "a=1+2",
        }).body)
        assert.equal(204, site:get("/all/nothing").status)
        assert.equal("hello", site:get("/all/upvalue").body)
    end)

    it("answers errors, abort and unknown paths as on the loop", function()
        local site = start({ ["all.lua"] = WHOLE, ["_lib/words.lua"] = words("one") })
        local answer = site:get("/all/abort")
        assert.same({ 418, "tea\n", "green" }, { answer.status, answer.body, answer.headers["x-tea"] })
        assert.equal(500, site:get("/all/boom").status)
        assert.matches("all.lua:18: boom.*all.lua:18: in function", site:wait_log("boom"))
        assert.equal(500, site:get("/all/write").status)
        site:wait_log("a handler that runs on a thread cannot stream")
        answer = site:get("/all/unknown")
        assert.same({ 404, "no /all/unknown\n" }, { answer.status, answer.body })
        answer = site:request("POST", "/all/echo/7", { body = "{" })
        assert.equal(400, answer.status)
    end)

    it("logs with the id, app and route of its request", function()
        local site = start({ ["all.lua"] = WHOLE, ["_lib/words.lua"] = words("one") })
        local id = site:get("/all/log").headers["x-request-id"]
        local line = site:wait_log("from a thread"):match("[^\n]*from a thread[^\n]*")
        assert.matches("request_id=" .. id, line, 1, true)
        assert.matches("route=/all/log", line, 1, true)
    end)

    it("is answered 504 when it takes longer than its route may", function()
        local site = start({ ["all.lua"] = WHOLE, ["_lib/words.lua"] = words("one") })
        assert.equal(504, site:get("/all/late").status)
        assert.equal("hello", site:get("/all/upvalue").body)
    end)

    it("runs the code of the generation that its request came in on", function()
        local site = start({ ["all.lua"] = WHOLE, ["_lib/words.lua"] = words("one") })
        assert.equal("one\n", site:get("/all/version").body)
        for round = 2, 6 do
            site:write("_lib/words.lua", words("round " .. round))
            local answer = site:call("reload", "--wait")
            assert.equal(0, answer.code, answer.err)
            for _, each in ipairs(together(site, 12, "/all/version")) do
                assert.equal("round " .. round .. "\n", each.body)
            end
        end
    end)

    it("does not keep a server from stopping", function()
        local site = server.start({
            apps = { ["slow.lua"] = BLOCKING },
            options = { "--workers", "1", "--threads", "2", "--graceful-timeout", "0.3" },
        })
        local busy = {}
        for i = 1, 4 do
            busy[i] = site:connect()
            busy[i]:send("GET /slow/burn HTTP/1.1\r\nHost: a\r\n\r\n")
        end
        process.wait_for("requests that are being answered", function()
            return site:status().workers[1].connections >= 4
        end)
        local taken, how = seconds(function()
            return (site:stop())
        end)
        assert.equal("exited", how)
        assert.is_true(taken < 10, "took " .. taken .. " s")
    end)
end)

describe("the example of docs/offload.md", function()
    after_each(server.clean)

    it("serves", function()
        local text = assert(process.read("docs/offload.md")):match("```lua\n(.-)```")
        local site = start({ ["docs.lua"] = text, ["slow_library.lua"] = [[
local app = require("moonloop").app()
app.report = function() return "report\n" end
return app
]] })
        assert.equal('{"sum":5050}', site:get("/docs/sum/100").body)
        assert.equal("report\n", site:get("/docs/report").body)
    end)
end)
