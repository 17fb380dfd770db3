--- Pools of processes through a real server: routes with run = "process", and what becomes of the processes.

local process = require("spec.support.process")
local server = require("spec.support.server")

local APP = [[
local ffi = require("ffi")
pcall(ffi.cdef, "int getpid(void); void abort(void); int kill(int, int);")
local moonloop = require("moonloop")
local words = require("words")
local app = moonloop.app({ run = "process" })
local kept = 0
app:use(function(req, res, next)
    res.headers["X-Middleware"] = req.method
    return next()
end)
app:get("/pid", function() return tostring(ffi.C.getpid()) end)
app:get("/worker", { run = "loop" }, function() return tostring(ffi.C.getpid()) end)
app:post("/echo/{n:int}", function(req, res)
    res.status = 201
    res:cookie("seen", "yes")
    return { n = req.params.n, json = req:json(), header = req.headers["X-FOO"], word = words.hello }
end)
app:get("/boom", function() error("boom") end)
app:get("/tea", function() moonloop.abort(418, "tea\n") end)
app:get("/abort", function() ffi.C.abort() end)
app:get("/spin", { timeout = 0.3 }, function()
    moonloop.log.info("spinning", { pid = ffi.C.getpid() })
    while true do end
end)
app:get("/long", function()
    moonloop.log.info("sleeping", { pid = ffi.C.getpid() })
    local _, err = pcall(moonloop.sleep, 60)
    moonloop.log.info("woken", { code = err.code })
end)
app:get("/kept", function() kept = kept + 1 return tostring(kept) end)
app:get("/count", function() return tostring(moonloop.shared("counts"):incr("seen", 1)) end)
app:get("/counted", { run = "loop" }, function() return tostring(moonloop.shared("counts"):get("seen")) end)
app:get("/publish", function() moonloop.topic("news"):publish({ words.hello, 7 }) return "told\n" end)
app:get("/publish/much", function() moonloop.topic("news"):publish(("x"):rep(5e6)) end)
app:get("/hear", { run = "loop" }, function()
    local news = moonloop.topic("news"):subscribe()
    moonloop.log.info("listening")
    return (news:recv())
end)
app:get("/version", function() return words.version .. "\n" end)
app:get("/late", { run = "loop" }, function()
    return moonloop.pool({ kind = "process", size = 1, name = "late" }):run(function()
        return words.version .. "\n"
    end)
end)
app:not_found(function(req) return "no " .. req.path .. "\n" end)
return app
]]

local function words(version)
    return ('return { hello = "hello", version = "%s" }'):format(version)
end

local function start(...)
    return server.start({
        apps = { ["a.lua"] = APP, ["_lib/words.lua"] = words("one") },
        options = { "--workers", "1", "--processes", "2", ... }, -- of two of a kind the later counts
    })
end

--- Sends a request and goes on without its answer.
local function ask(site, target)
    local connection = site:connect()
    connection:send(("GET %s HTTP/1.1\r\nHost: a\r\n\r\n"):format(target))
    return connection
end

--- The process that a log line with this text names.
local function logged_pid(site, text)
    local log = site:wait_log(text)
    return tonumber(log:match(text .. " [^\n]*pid=(%d+)")), log
end

local function wait_gone(pid)
    process.wait_for("the end of process " .. pid, function()
        return not process.exists(pid)
    end)
end

--- Processes whose parent is `pid`.
local function children_of(pid)
    local children = {}
    for id in require("posix.dirent").files("/proc") do
        local stat = id:match("^%d+$") and process.read("/proc/" .. id .. "/stat")
        if stat and tonumber(stat:match("^%d+ %b() %a (%d+)")) == pid then
            children[#children + 1] = tonumber(id)
        end
    end
    return children
end

describe("a handler that runs in a process", function()
    after_each(server.clean)

    it("has the request and the response of any other, and its process its own memory", function()
        local site = start()
        local answer = site:request("POST", "/a/echo/7", { headers = { ["X-Foo"] = "bar" }, body = '{"a":[1,2]}' })
        assert.equal(201, answer.status)
        assert.same({ "POST", "application/json" }, { answer.headers["x-middleware"], answer.headers["content-type"] })
        assert.matches("^seen=yes", answer.headers["set-cookie"])
        assert.same({ n = 7, json = { a = { 1, 2 } }, header = "bar", word = "hello" },
            require("cjson").decode(answer.body))
        local worker, pid = site:get("/a/worker").body, tonumber(site:get("/a/pid").body)
        assert.is_true(tonumber(worker) ~= pid)
        assert.matches("moonloop%zoffload%-process%zworker 1", process.read(("/proc/%d/cmdline"):format(pid)))
        answer = site:get("/a/unknown")
        assert.same({ 404, "no /a/unknown\n" }, { answer.status, answer.body })
        assert.same({ 418, "tea\n" }, { site:get("/a/tea").status, site:get("/a/tea").body })
        assert.equal(500, site:get("/a/boom").status)
        assert.matches("a.lua:18: boom.*a.lua:18: in function", site:wait_log("boom"))
    end)

    it("counts in the shared dictionary of all workers", function()
        local site = start("--workers", "2")
        local before = 0
        for _ = 1, 20 do
            local answer = site:get("/a/count")
            assert.equal(200, answer.status)
            assert.is_true(tonumber(answer.body) > before)
            before = tonumber(answer.body)
        end
        assert.same({ 20, "20" }, { before, site:get("/a/counted").body })
    end)

    it("publishes to the subscribers of all workers", function()
        local site = start("--workers", "2")
        local ears = {}
        for i = 1, 6 do
            ears[i] = ask(site, "/a/hear")
        end
        process.wait_for("six listeners", function()
            return select(2, site:log():gsub(": listening request_id=", "")) == 6
        end)
        assert.equal("told\n", site:get("/a/publish").body)
        for _, ear in ipairs(ears) do
            assert.equal('["hello",7]', ear:read_response("GET").body)
            ear:close()
        end
        assert.equal(500, site:get("/a/publish/much").status)
        site:wait_log("the message takes 5000")
    end)

    it("has no more processes than the option says, which start with the first requests", function()
        local site = start()
        local helper = children_of(site:worker_pids()[1])[1] -- which starts all others
        assert.same({}, children_of(helper))
        local connections = {}
        for i = 1, 6 do
            connections[i] = ask(site, "/a/kept")
        end
        for _, connection in ipairs(connections) do
            assert.equal(200, connection:read_response("GET").status)
            connection:close()
        end
        local count = #children_of(helper)
        assert.is_true(count >= 1 and count <= 2, count .. " processes")
    end)

    it("is answered 504 at the deadline of its route, and its endless loop ends", function()
        local site = start()
        assert.equal(504, site:get("/a/spin").status)
        local pid, log = logged_pid(site, "spinning")
        assert.matches("process " .. pid .. ": spinning[^\n]* route=/a/spin", log)
        wait_gone(pid)
        assert.equal(200, site:get("/a/pid").status)
    end)

    it("is answered 500 when its process dies, and the log says of what and on which route", function()
        local site = start()
        assert.equal(500, site:get("/a/abort").status)
        local line = site:wait_log("the process that ran"):match("[^\n]*the process that ran[^\n]*")
        assert.matches("has ended: killed by SIGABRT", line, 1, true)
        assert.matches("route=/a/abort", line, 1, true)
        assert.equal(200, site:get("/a/pid").status)
        assert.equal(site:worker_pids()[1], tonumber(site:get("/a/worker").body))
    end)

    --- A client comes and leaves. True when its handler has heard of it before it was killed: a machine that is
    --- busy may not let it.
    local function hears_of_leaving()
        local site = start("--processes", "1")
        local connection = ask(site, "/a/long")
        local pid = logged_pid(site, "sleeping")
        connection:close()
        local next_pid = tonumber(site:get("/a/pid").body)
        if site:log():find("was killed", 1, true) then
            return false
        end
        assert.matches("process " .. pid .. ": woken code=cancelled", site:log(), 1, true)
        assert.equal(pid, next_pid)
        return true
    end

    it("is cancelled when its client leaves, and its process serves on", function()
        assert.is_true(hears_of_leaving() or hears_of_leaving() or hears_of_leaving() or hears_of_leaving())
    end)

    it("runs the code of the generation that its request came in on", function()
        local site = start()
        assert.equal("one\n", site:get("/a/version").body)
        assert.equal("one\n", site:get("/a/late").body)
        local pid = site:get("/a/pid").body
        for round = 2, 5 do
            site:write("_lib/words.lua", words("round " .. round))
            local answer = site:call("reload", "--wait")
            assert.equal(0, answer.code, answer.err)
            assert.equal("round " .. round .. "\n", site:get("/a/version").body)
            assert.equal("round " .. round .. "\n", site:get("/a/late").body)
        end
        assert.equal(pid, site:get("/a/pid").body)
        assert.equal("1", site:get("/a/kept").body) -- module locals start anew with the code
    end)

    it("gives memory back when old generations end", function()
        local site = start()
        local pid = tonumber(site:get("/a/pid").body)
        local function resident()
            return tonumber(process.read(("/proc/%d/statm"):format(pid)):match("^%d+ (%d+)")) * 4096
        end
        local function reload(round)
            site:write("_lib/words.lua", words(("x"):rep(1000000) .. round))
            assert.equal(0, site:call("reload", "--wait").code)
            assert.equal(200, site:get("/a/version").status)
        end
        for round = 1, 6 do
            reload(round)
        end
        local before = resident()
        for round = 7, 20 do
            reload(round)
        end
        assert.equal(pid, tonumber(site:get("/a/pid").body))
        local growth = (resident() - before) / 2 ^ 20
        assert.is_true(growth < (server.is_sanitized and 40 or 10), growth .. " MB more after 14 reloads of 1 MB")
    end)
end)

describe("the processes of a server", function()
    after_each(server.clean)

    it("end with a graceful stop, idle ones and busy ones", function()
        local site = start("--graceful-timeout", "0.3")
        local idle = tonumber(site:get("/a/pid").body)
        ask(site, "/a/long")
        local busy = logged_pid(site, "sleeping")
        local how, code = site:stop()
        assert.same({ "exited", 0 }, { how, code })
        assert.is_false(process.exists(idle))
        assert.is_false(process.exists(busy))
    end)

    it("end with a worker that is killed, in the middle of a job", function()
        local site = start()
        local worker = site:worker_pids()[1]
        ask(site, "/a/long")
        local busy = logged_pid(site, "sleeping")
        process.kill(worker, "KILL")
        wait_gone(busy)
    end)

    it("end in the middle of a computation when master and worker are killed", function()
        local site = start()
        local worker = site:worker_pids()[1]
        site:write("a.lua", (APP:gsub("timeout = 0.3", "timeout = 50")))
        assert.equal(0, site:call("reload", "--wait").code)
        ask(site, "/a/spin")
        local busy = logged_pid(site, "spinning")
        process.kill(site:pid(), "KILL")
        process.kill(worker, "KILL")
        wait_gone(busy)
    end)

    it("leave signals to the server: what reaches them all ends none of them", function()
        local site = start()
        local pid = tonumber(site:get("/a/pid").body)
        for _, name in ipairs({ "TERM", "INT", "HUP", "QUIT" }) do
            process.kill(pid, name)
        end
        assert.equal(pid, tonumber(site:get("/a/pid").body))
    end)

    it("write into the log that was opened anew", function()
        local dir = process.directory()
        local log = dir .. "/error.log"
        local site = start("--errorlog", log, "--log-format", "json")
        ask(site, "/a/long")
        process.wait_for("the line", function()
            return (process.read(log) or ""):find('"message":"sleeping"', 1, true)
        end)
        assert.matches('"role":"worker 1 process %d+","message":"sleeping"', process.read(log))
        assert(os.rename(log, log .. ".1"))
        site:signal("USR1")
        process.wait_for("the new file", function()
            return process.read(log)
        end)
        ask(site, "/a/long")
        process.wait_for("the line", function()
            return process.read(log):find('"message":"sleeping"', 1, true)
        end)
    end)
end)
