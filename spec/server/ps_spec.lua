local cjson = require("cjson")
local process = require("spec.support.process")
local server = require("spec.support.server")

local APP = [[
local moonloop = require("moonloop")
local app = moonloop.app()
local VERSION = 1

app:get("/sleep", function() moonloop.sleep(600) end)
app:get("/many/{count:int}", function(req)
    local list = {}
    for i = 1, req.params.count do
        list[i] = i
    end
    moonloop.map(list, function() moonloop.sleep(600) end)
end)
app:get("/named", function()
    moonloop.spawn("helper", moonloop.sleep, 600)
    moonloop.sleep(600)
end)
app:get("/chat", function(_, res)
    res:write("hello\n")
    for message in moonloop.topic("chat"):subscribe() do
        res:write(message)
    end
end)
app:get("/odd", function()
    moonloop.spawn("line\nbreak \255\27[2J", moonloop.sleep, 600)
    moonloop.topic("\255\1"):subscribe():recv()
end)
app:get("/after", function(req)
    req:after({ name = "tidy" }, moonloop.sleep, 600)
    return "answered\n"
end)
app:get("/offload", function() moonloop.offload(function() require("moonloop").sleep(600) end) end)
app:get("/stuck", function() return ("a"):rep(60):find(("a-"):rep(30) .. "b") end) -- a C call of hours
return app
]]

local TIMERS = APP:gsub("return app\n$", [[
app:every(3600, function() end, { name = "tick" })
app:cron("0 3 * * *", function() end, { name = "nightly" })
app:background("mailer", function() moonloop.sleep(600) end)
return app
]])

local function ask(site, target)
    local connection = site:connect()
    connection:send("GET " .. target .. " HTTP/1.1\r\nHost: localhost\r\n\r\n")
    return connection
end

local function start(options, app)
    return server.start({ apps = { ["a.lua"] = app or APP }, options = options })
end

---@return table[] workers
local function list(site)
    local result = site:call("ps", "--json")
    assert(result.code == 0, result.err)
    return cjson.decode(result.out)
end

--- Waits until a line of `kind` and `name` (plain text) is there; that line, and its worker.
local function wait_line(site, kind, name)
    return unpack(process.wait_for(kind .. " " .. name .. " in ps", function()
        for _, worker in ipairs(list(site)) do
            for _, line in ipairs(worker.activities) do
                if line.kind == kind and line.name:find(name, 1, true) then
                    return { line, worker }
                end
            end
        end
    end))
end

--- The line of the table that has all of these words.
local function find_row(text, ...)
    for row in text:gmatch("[^\n]+") do
        local has_all = true
        for _, word in ipairs({ ... }) do
            has_all = has_all and row:find(word, 1, true)
        end
        if has_all then
            return row
        end
    end
    error(("no line with %s in:\n%s"):format(table.concat({ ... }, ", "), text), 2)
end

describe("moonloop ps", function()
    after_each(server.clean)

    it("shows every worker, also one that has nothing to do", function()
        local site = start({ "--workers", "2" })
        local text = site:call("ps").out
        assert.matches("^WORKER +PID +KIND +NAME +STATE +SINCE +RUNS +NEXT +DETAIL\n", text)
        for number, pid in ipairs(site:worker_pids()) do
            find_row(text, (" %d  "):format(number), tostring(pid), "worker", "serving")
        end
        for _, worker in ipairs(list(site)) do
            assert.is_true(worker.answered)
            assert.same({}, worker.activities)
        end
    end)

    it("shows requests: their route, since when, and where they wait", function()
        local site = start()
        ask(site, "/a/sleep")
        local line = wait_line(site, "request", "GET /a/sleep")
        assert.equal("waiting", line.state)
        assert.equal("at apps/a.lua:5 in sleep", line.detail)
        assert.is_true(math.abs(os.time() - line.since) < 10)
        find_row(site:call("ps").out, "request", "GET /a/sleep", "waiting", "0 s", "at apps/a.lua:5 in sleep")
    end)

    it("shows for whom requests run: one address, or how many", function()
        local site = start({ "--workers", "1", "--proxy-protocol" })
        local function ask_for(address)
            local connection = site:connect()
            connection:send(("PROXY TCP4 %s 127.0.0.1 1 2\r\nGET /a/sleep HTTP/1.1\r\nHost: a\r\n\r\n"):format(address))
        end
        ask_for("1.2.3.4")
        assert.equal("1.2.3.4", wait_line(site, "request", "GET /a/sleep").from)
        find_row(site:call("ps").out, "request", "GET /a/sleep", "from 1.2.3.4")
        for _, address in ipairs({ "1.2.3.4", "1.2.3.5", "1.2.3.6" }) do
            ask_for(address)
        end
        process.wait_for("all of them", function()
            return wait_line(site, "request", "GET /a/sleep").count == 4
        end)
        assert.equal("3 addresses", wait_line(site, "request", "GET /a/sleep").from)
    end)

    it("shows tasks by name or place, and for whom they work", function()
        local site = start()
        ask(site, "/a/named")
        local line = wait_line(site, "task", "helper")
        assert.equal("waiting", line.state)
        assert.matches("for GET /a/named", line.detail, 1, true)
    end)

    it("makes one line of a thousand equal ones", function()
        local site = start()
        ask(site, "/a/many/1000")
        local line, worker = wait_line(site, "task", "apps/a.lua:11")
        assert.equal(1000, line.count)
        assert.equal(2, #worker.activities)
        find_row(site:call("ps").out, "apps/a.lua:11 ×1000")
    end)

    it("shows what lasts: background work, timers with their next run, subscriptions, pools, req:after", function()
        local site = start(nil, TIMERS)
        ask(site, "/a/chat")
        ask(site, "/a/chat")
        ask(site, "/a/after")
        ask(site, "/a/offload")
        assert.equal("waiting", wait_line(site, "topic", "chat").state)
        local every, cron = wait_line(site, "every", "tick"), wait_line(site, "cron", "nightly")
        assert.is_true(every.next_run > os.time() + 3000 and every.next_run < os.time() + 3700)
        assert.is_true(cron.next_run > os.time() and cron.next_run % 60 == 0)
        local mailer = wait_line(site, "background", "mailer")
        assert.equal("running", mailer.state)
        assert.matches("in sleep", mailer.detail, 1, true)
        wait_line(site, "after", "tidy")
        process.wait_for("the pool to be busy", function()
            return wait_line(site, "pool", "default").detail:find("1 of ", 1, true)
        end)
        local text = site:call("ps").out
        assert.matches("every +a: tick +waiting +- +0 +in %d+ min", text)
        find_row(text, "topic", "chat", "of 1000 queued, 0 lost")
        assert.is_nil(text:find("clock", 1, true), text)
    end)

    it("says which generation old requests belong to", function()
        local site = start()
        ask(site, "/a/sleep")
        wait_line(site, "request", "GET /a/sleep")
        site:write("a.lua", (APP:gsub("VERSION = 1", "VERSION = 2")))
        site:wait_log("generation 2 is live")
        local line = wait_line(site, "request", "GET /a/sleep")
        assert.equal(1, line.old_generation)
        find_row(site:call("ps").out, "GET /a/sleep", "of generation 1")
    end)

    it("does not wait for a worker whose loop is held, and says so", function()
        local site = start({ "--workers", "2", "--graceful-timeout", "1" })
        ask(site, "/a/stuck")
        local stuck
        process.wait_for("a worker that does not answer", function()
            for _, worker in ipairs(list(site)) do
                if not worker.answered then
                    stuck = worker
                end
            end
            return stuck
        end)
        for _ = 1, 2 do -- whoever asks again does not have to wait longer, nor harms the worker by asking
            local text = site:call("ps").out
            find_row(text, tostring(stuck.pid), "no answer: its loop has been held for", "GET /a/stuck (running)")
            find_row(text, "worker", "serving")
        end
        assert.equal(0, site:call("status").code)
    end)

    it("answers several who ask at once", function()
        local site = start({ "--workers", "2" })
        local words = {}
        for i = 1, 8 do
            words[i] = ("%s ps --json >ps%d &"):format(server.binary, i)
        end
        local result = process.run({ "sh", "-c", table.concat(words, "\n") .. "\nwait" },
            { cwd = site.dir, env = { MOONLOOP_APPS = site.apps_dir } })
        assert.equal(0, result.code, result.err)
        for i = 1, 8 do
            assert.equal(2, #cjson.decode(process.read(site.dir .. "/ps" .. i)))
        end
    end)

    it("prints names that are no text without harm", function()
        local site = start()
        ask(site, "/a/odd")
        wait_line(site, "task", "line")
        local text = site:call("ps").out
        assert.is_nil(text:find("[%z\1-\9\11-\31]"))
        find_row(text, "line?break")
    end)

    it("goes on while workers die", function()
        local site = start({ "--workers", "3" })
        local signal = require("posix.signal")
        for _, pid in ipairs(site:worker_pids()) do
            signal.kill(pid, signal.SIGKILL)
            local result = site:call("ps", "--json")
            assert.equal(0, result.code, result.err)
            assert.is_table(cjson.decode(result.out))
        end
    end)
end)
