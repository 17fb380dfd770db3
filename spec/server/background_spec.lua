local process = require("spec.support.process")
local server = require("spec.support.server")
local socket = require("socket")

--- `say(...)` writes a line to the file `said` beside the apps, with the worker's process id and the time.
local HEAD = [[
local moonloop = require("moonloop")
local app = moonloop.app(OPTIONS)
local pid = io.open("/proc/self/stat"):read("*l"):match("^%d+")
local function say(...)
    local f = io.open("SAID", "a")
    f:write(("%s %.3f %s\n"):format(pid, moonloop.now(), table.concat({ ... }, " ")))
    f:close()
end
]]

describe("background work of a server", function()
    local site

    after_each(server.clean)

    local function text_of(text, app_options)
        local whole = (HEAD .. text .. "\nreturn app\n"):gsub("SAID", site.said):gsub("OPTIONS", app_options or "")
        return whole
    end

    --- One app `a` of this text, and others that are given whole.
    local function start(text, given)
        given = given or {}
        given.dir = process.directory()
        site = { said = given.dir .. "/said" }
        given.apps = given.apps or {}
        given.apps["a.lua"] = text_of(text, given.app_options)
        local said = site.said
        site = server.start(given)
        site.said = said
    end

    local function reload(text)
        local number = site:status().generation + 1
        site:write("a.lua", text_of(text))
        site:wait_log(("generation %d is live"):format(number))
    end

    --- What was said: { pid =, time =, text = } for each line that has `pattern`.
    local function said(pattern)
        local list = {}
        for pid, time, text in (process.read(site.said) or ""):gmatch("(%d+) ([%d.]+) ([^\n]*)\n") do
            if text:find(pattern or "") then
                list[#list + 1] = { pid = tonumber(pid), time = tonumber(time), text = text }
            end
        end
        return list
    end

    local function wait_said(pattern, count)
        process.wait_for(("%d times %q"):format(count or 1, pattern), function()
            return #said(pattern) >= (count or 1)
        end)
        return said(pattern)
    end

    --- Seconds: long enough that a busy machine does not make a tick so late that it comes with the next.
    -- Longer than another worker takes to take over, or a worker to start, with sanitizers beside other suites.
    local INTERVAL = server.is_sanitized and 0.75 or 0.25

    --- A timer `t` that says, with each tick, when the next one is due. `more`: further options.
    local function ticking(more, word)
        local text = [[
local t
t = app:every(%g, function() say(%q, ("%%.3f"):format(t.next_run)) end, { name = "tick"%s })
]]
        return text:format(INTERVAL, word or "tick", more or "")
    end

    --- No tick came twice, and none is missing. What counts is when they were due: the machine may make them late.
    local function assert_grid(ticks)
        local function due(tick)
            return tonumber(tick.text:match("[%d.]+$"))
        end
        for i = 2, #ticks do
            -- What is due is told on another clock than it is kept on; between looks at the two a machine may pause.
            local steps = (due(ticks[i]) - due(ticks[1])) / INTERVAL
            assert.equal(i - 1, math.floor(steps + 0.5), ("tick %d came after %.2f intervals"):format(i, steps))
        end
    end

    it("begins before the first request is accepted, after on_start", function()
        start([[
app:on_start(function() say("on_start") end)
app:background("service", function(word) say("service", word) moonloop.sleep(1000) end, "hello")
app:every(1000, function() say("every") end, { immediately = true })
app:get("/", function() say("request") return "ok" end)
]])
        site:get("/a/")
        local texts = {}
        for i, each in ipairs(said()) do
            texts[i] = each.text
        end
        assert.same({ "on_start", "service hello", "every", "request" }, texts)
    end)

    it("of one app does not wait for the on_start of another", function()
        start([[app:background("service", function() say("service") end)]], { apps = {
            ["A.lua"] = 'local moonloop = require("moonloop") local app = moonloop.app() '
                .. "app:on_start(function() moonloop.sleep(1000) end) return app",
        } })
        wait_said("service")
    end)

    it("logs what fails with app, name and traceback, and counts it", function()
        start([[
local timer = app:every(0.05, function() error("disk full") end, { name = "backup" })
local task = app:background("once", function() error("at once") end)
app:get("/", function()
    return { timer.runs, timer.failures, timer.last_error.message, task.state, task.last_error.message }
end)
]])
        site:wait_log('every backup failed: apps/a.lua:9: disk full')
        site:wait_log('job="every backup"')
        site:wait_log("apps/a.lua:9: in function <apps/a.lua:9>")
        site:wait_log("background once failed: apps/a.lua:10: at once")
        process.wait_for("three runs", function() return tonumber(site:get("/a/").body:match("%d+")) >= 3 end)
        local row = require("cjson").decode(site:get("/a/").body)
        assert.is_true(row[2] >= row[1] - 1 and row[2] > 0)
        assert.same({ "apps/a.lua:9: disk full", "failed", "apps/a.lua:10: at once" }, { row[3], row[4], row[5] })
    end)

    it("that holds the loop is interrupted by the watchdog, named, and goes on #watchdog", function()
        start([[
local timer
timer = app:every(0.05, function() if timer.runs == 1 then while true do end end say("fine") end, { name = "spin" })
app:get("/", function() return { timer.failures } end)
]])
        site:wait_log("interrupted: ")
        assert.truthy(site:log():find('app=a job="every spin"', 1, true), site:log())
        wait_said("fine")
        assert.equal("[1]", site:get("/a/").body)
    end)

    it("is refused by check with file, line and reason when it is wrong", function()
        start("", {})
        for text, expected in pairs({
            ['app:cron("0 0 30 2 *", print)'] = 'a.lua:9: app:cron("0 0 30 2 *"): it can never run: none of its '
                .. "months has such a day",
            ['app:cron("0 25 * * *", print)'] = 'a.lua:9: app:cron("0 25 * * *"): hour: 25 is not in 0-23',
            ['app:every(0, print)'] = "a.lua:9: app:every: expected 0.001 to 31622400 seconds, got 0",
            ['app:every(5, print, { name = "x" }) app:every(6, print, { name = "x" })'] =
                'a.lua:9: there is an app:every named "x" already, from apps/a.lua:9',
            ['app:background("x", print) app:background("x", print)'] =
                'a.lua:9: there is an app:background named "x" already, from apps/a.lua:9',
            ['app:background(print)'] = "a.lua:9: app:background: expected a name of 1 to 200 characters on one line, "
                .. "got a function",
            ['app.every(5, print)'] = "a.lua:9: call it with a colon: app:every(...)",
        }) do
            site:write("a.lua", text_of(text))
            local result = process.run({ server.binary, "check", site.apps_dir }, { cwd = site.dir })
            assert.equal(1, result.code)
            assert.truthy((result.out .. result.err):find(expected, 1, true), result.out .. result.err)
        end
    end)

    describe("over a reload", function()
        it("goes on with the new code under the same name: no tick is lost or doubled", function()
            local text = ticking(nil, "tick VERSION") .. 'app:get("/", function() return { t.runs } end)'
            start((text:gsub("VERSION", "1")))
            for version = 2, 6 do
                wait_said("tick " .. (version - 1), 3)
                reload((text:gsub("VERSION", tostring(version))))
            end
            local ticks = wait_said("tick", 20)
            assert_grid(ticks)
            for i = 2, #ticks do
                assert.is_true(ticks[i].text >= ticks[i - 1].text, "old code after new code")
            end
            assert.is_true(tonumber(site:get("/a/").body:match("%d+")) >= 20, "the count goes on")
        end)

        it("stops what the new code does not have, and starts what it has in addition", function()
            start('app:every(0.05, function() say("old") end, { name = "a" })\n'
                .. 'app:background("b", function() while true do say("old task") moonloop.sleep(0.05) end end)')
            wait_said("old", 2)
            wait_said("old task", 2)
            reload('app:every(0.05, function() say("new") end, { name = "c" })')
            local after = wait_said("new", 1)[1].time
            wait_said("new", 5)
            for _, each in ipairs(said("old")) do
                assert.is_true(each.time <= after)
            end
        end)

        it("takes the new interval, counted from the last tick", function()
            start('app:every(30, function() say("slow") end, { name = "a", immediately = true })')
            local first = wait_said("slow")[1].time
            reload('app:every(0.2, function() say("fast") end, { name = "a", immediately = true })')
            assert.is_true(wait_said("fast")[1].time >= first + 0.2)
        end)

        it("never has two copies of a task: the new one waits until the old one has cleaned up", function()
            local text = [[
app:background("worker", function()
    say("begin VERSION")
    local ok, err = pcall(moonloop.sleep, 1000)
    say(err.code)
    moonloop.shield(moonloop.sleep, 0.3)
    say("end VERSION")
end)
]]
            start((text:gsub("VERSION", "1")))
            wait_said("begin 1")
            reload((text:gsub("VERSION", "2")))
            wait_said("begin 2")
            local texts = {}
            for i, each in ipairs(said()) do
                texts[i] = each.text
            end
            assert.same({ "begin 1", "cancelled", "end 1", "begin 2" }, texts)
        end)

        it("replaces what on_start has begun, like what the file declares", function()
            local text = [[
app:on_start(function()
    moonloop.sleep(0)
    app:background("worker", function() say("begin VERSION") moonloop.sleep(1000) end)
    app:every(0.05, function() say("tick VERSION") end, { name = "t" })
end)
]]
            start((text:gsub("VERSION", "1")))
            wait_said("begin 1")
            wait_said("tick 1")
            reload((text:gsub("VERSION", "2")))
            wait_said("begin 2")
            wait_said("tick 2", 2)
            process.wait_for("the old generation to be gone", function()
                return site:status().workers[1].generations_alive == 1
            end)
            assert.equal(1, #said("begin 1"))
        end)

        it("sees a run of the old code that is under way", function()
            local text = [[
app:every(0.1, function() say("begin VERSION") moonloop.sleep(0.65) say("end VERSION") end, { name = "slow" })
]]
            start((text:gsub("VERSION", "1")))
            wait_said("begin 1")
            reload((text:gsub("VERSION", "2")))
            wait_said("end 2")
            local depth = 0
            for _, each in ipairs(said()) do
                depth = depth + (each.text:find("begin") and 1 or -1)
                assert.is_true(depth <= 1, "two at once")
            end
        end)

        it("keeps stopped what was stopped, until it is started", function()
            local text = [[
local t = app:every(0.05, function() say("tick VERSION") end, { name = "tick" })
app:get("/stop", function() return t:stop().state end)
app:get("/start", function() return t:start().state end)
]]
            start((text:gsub("VERSION", "1")))
            wait_said("tick 1")
            assert.equal("stopped", site:get("/a/stop").body)
            reload((text:gsub("VERSION", "2")))
            assert.equal("waiting", site:get("/a/start").body)
            wait_said("tick 2")
        end)

        it("leaves alone what a handler has started, and finds it by its name", function()
            local text = [[
app:get("/", function()
    local job, is_new = app:background("export", function()
        say("begin VERSION") local ok, err = pcall(moonloop.sleep, 1000) say(err.message)
    end)
    return { is_new, job.state, job.name }
end)
app:get("/stop", function() return app:background("export", print):stop().name end)
]]
            start((text:gsub("VERSION", "1")))
            assert.equal('[true,"running","export"]', site:get("/a/").body)
            assert.equal('[false,"running","export"]', site:get("/a/").body)
            reload((text:gsub("VERSION", "2")))
            assert.equal('[false,"running","export"]', site:get("/a/").body)
            assert.equal(1, #said())
            assert.equal("export", site:get("/a/stop").body)
            wait_said("the background task was stopped")
            process.wait_for("a new one", function() return site:get("/a/").body:find("true") end)
            wait_said("begin 2")
            process.wait_for("the old generation to be gone", function()
                return site:status().workers[1].generations_alive == 1
            end)
        end)

        it("gives requests of the old code handles that start nothing any more", function()
            start([[
local t = app:every(1000, print, { name = "t" })
app:get("/", function()
    say("request")
    while not io.open("SAID.go") do moonloop.sleep(0.02) end
    local late = app:every(0.01, function() say("late") end, { name = "late" })
    local ok, err = pcall(t.start, t)
    return { err.code, late.state, late.runs }
end)
]])
            local connection = site:connect()
            connection:send("GET /a/ HTTP/1.1\r\nHost: x\r\n\r\n")
            wait_said("request")
            reload("")
            process.wait_for("the new code to answer", function() return site:get("/a/").status == 404 end)
            process.write(site.said .. ".go", "")
            assert.equal('["closed","waiting",0]', connection:read_response().body)
            process.wait_for("the old generation to be gone", function()
                return site:status().workers[1].generations_alive == 1
            end)
            assert.equal(0, #said("late"))
        end)

        it("leaves nothing of the old generations, many times", function()
            local text = [[
app:every(0.01, function() moonloop.sleep(0.005) end, { name = "t", overlap = "queue" })
app:every(0.01, print, { name = "once", once = "server", jitter = "50%" })
app:cron("* * * * *", print)
app:background("service", function() local child = moonloop.spawn(moonloop.sleep, 1000) child:wait() end)
-- VERSION]]
            start((text:gsub("VERSION", "1")))
            for version = 2, 12 do
                reload((text:gsub("VERSION", tostring(version))))
            end
            process.wait_for("one generation", function()
                return site:status().workers[1].generations_alive == 1
            end)
            local out = site:call("ps").out
            assert.equal(1, select(2, out:gsub("background%s+a: service", "")), out)
            assert.equal(1, select(2, out:gsub("every%s+a: t ", "")), out)
        end)

        it("goes on when the new code is refused", function()
            start(ticking())
            wait_said("tick", 2)
            site:write("a.lua", "app:every(")
            site:wait_log("generation 2 is refused")
            local count = #said("tick")
            assert_grid(wait_said("tick", count + 4))
        end)
    end)

    describe("at a stop", function()
        it("is waited for if a request asked for it, or if it is a run of a timer; no tick comes any more", function()
            start([[
app:every(0.1, function() say("run begins") moonloop.sleep(0.5) say("run ends") end, { overlap = "allow" })
app:get("/", function(req)
    req:after(function() moonloop.sleep(0.6) say("after") end)
    app:background("export", function() moonloop.sleep(0.7) say("export") end)
    return "ok"
end)
]])
            wait_said("run begins")
            site:get("/a/")
            local count = #said("run begins")
            assert.same({ "exited", 0 }, { site:stop() })
            assert.equal(1, #said("after"))
            assert.equal(1, #said("export"))
            assert.equal(#said("run begins"), #said("run ends"))
            assert.is_true(#said("run begins") <= count + 2, "it ticked on")
        end)

        it("is cancelled without delay if the file declared it", function()
            start([[
app:background("service", function()
    say("begins")
    local ok, err = pcall(function() while true do moonloop.sleep(1) end end)
    say(err.code)
end)
]])
            wait_said("begins")
            local began = socket.gettime()
            site:stop()
            assert.is_true(socket.gettime() - began < 3)
            assert.equal(1, #said("cancelled"))
            assert.is_nil(site:log():find("cut off", 1, true))
        end)

        it("is cut at the end of graceful_timeout, and the log names it", function()
            start([[
app:get("/", function(req)
    req:after({ name = "mail" }, moonloop.sleep, 1000)
    app:background("export", function() local ok, err = pcall(moonloop.sleep, 1000) say(err.message) error(err, 0) end)
    return req.id
end)
]], { options = { "--workers", "1", "--graceful-timeout", "0.5" } })
            local id = site:get("/a/").body
            site:stop()
            local log = site:log()
            local line = log:match("[^\n]*after mail was cut off: the server is stopping[^\n]*")
            assert.truthy(line and line:find("request_id=" .. id, 1, true), log)
            assert.truthy(log:find("background export was cut off: the server is stopping", 1, true), log)
            assert.equal(1, #said("the server is stopping"))
        end)
    end)

    describe("once per server", function()
        local THREE = { options = { "--workers", "3" } }

        local function pids_of(list)
            local seen, pids = {}, {}
            for _, each in ipairs(list) do
                if not seen[each.pid] then
                    seen[each.pid] = true
                    pids[#pids + 1] = each.pid
                end
            end
            return pids
        end

        it("runs in one worker, and all of them know how it stands", function()
            start(ticking(', once = "server"') .. [[
app:get("/", function() return { t.state, t.runs } end)
]], THREE)
            local ticks = wait_said("tick", 10)
            assert.equal(1, #pids_of(ticks))
            assert_grid(ticks)
            local states = {}
            process.wait_for("both states", function()
                local state, runs = site:get("/a/").body:match('"(%a+)",(%d+)')
                states[state] = true
                assert.is_true(tonumber(runs) >= 10)
                return states.waiting and states.elsewhere
            end)
        end)

        it("goes on in another worker when that one is killed: no tick is lost or doubled", function()
            start(ticking(', once = "server"'), THREE)
            for round = 1, 3 do
                local ticks = wait_said("tick", round * 5)
                process.kill(ticks[#ticks].pid, "KILL")
                local killed = ticks[#ticks].pid
                process.wait_for("another worker to take over", function()
                    local now = said("tick")
                    return now[#now].pid ~= killed
                end)
            end
            local ticks = wait_said("tick", 20)
            assert_grid(ticks)
            assert.is_true(#pids_of(ticks) >= 3)
        end)

        it("goes on over a reload and over a restart of all workers, tick by tick", function()
            start(ticking(', once = "server"'), THREE)
            wait_said("tick", 4)
            reload(ticking(', once = "server"') .. "-- 2")
            wait_said("tick", 8)
            local before = site:worker_pids()
            process.write(site.dir .. "/moonloop.conf.lua", "return { max_requests = 100000 }\n")
            site:signal("HUP") -- an option of the workers has changed: they are replaced one by one
            process.wait_for("new workers", function()
                local pids = site:worker_pids()
                return #pids == 3 and pids[1] ~= before[1] and pids[2] ~= before[2] and pids[3] ~= before[3]
            end, 20)
            local count = #said("tick")
            assert_grid(wait_said("tick", count + 5))
        end)

        it("never runs twice at once, even when the worker leaves in the middle of a run", function()
            start([[
app:every(0.1, function() say("begin") moonloop.sleep(0.45) say("end") end, { name = "slow", once = "server" })
]], THREE)
            local first = wait_said("begin")[1].pid
            process.kill(first, "TERM") -- it drains, the master starts another
            process.wait_for("others to run it", function()
                local now = said("end")
                return #now >= 3 and now[#now].pid ~= first
            end)
            local depth = 0
            for _, each in ipairs(said()) do
                depth = depth + (each.text == "begin" and 1 or -1)
                assert.is_true(depth <= 1, "two at once")
            end
        end)

        it("has tasks as well: one copy, and another worker takes over", function()
            start([[
app:background({ name = "consumer", once = "server" }, function() say("begins") moonloop.sleep(1000) end)
]], THREE)
            local first = wait_said("begins")[1].pid
            process.kill(first, "KILL")
            local list = wait_said("begins", 2)
            assert.not_equal(first, list[2].pid)
            reload([[
app:background({ name = "consumer", once = "server" }, function() say("begins anew") moonloop.sleep(1000) end)
]])
            wait_said("begins anew")
            assert.equal(3, #said("begins"))
        end)

        it("stops and starts in all workers, whoever is asked", function()
            start([[
local t = app:every(0.05, function() say("tick") end, { name = "tick", once = "server" })
app:get("/stop", function() return t:stop().state end)
app:get("/start", function() t:start() return "" end)
]], THREE)
            wait_said("tick", 2)
            assert.equal("stopped", site:get("/a/stop").body)
            local count = #said("tick")
            process.wait_for("the state everywhere", function() return site:get("/a/stop").body == "stopped" end)
            assert.is_true(#said("tick") <= count + 1)
            site:get("/a/start")
            wait_said("tick", count + 3)
        end)
    end)

    it("is shown by moonloop ps", function()
        start([[
app:every(1000, print, { name = "beat" })
app:every(0.05, function() error("no disk") end)
app:cron("0 3 * * *", print, { name = "report" })
app:background("service", function() moonloop.sleep(1000) end)
app:get("/", function(req) req:after({ name = "mail" }, moonloop.sleep, 1000) return "ok" end)
]])
        site:get("/a/")
        site:wait_log("no disk")
        local out = site:call("ps").out
        for _, pattern in ipairs({
            "every%s+a: beat%s+waiting%s+%-%s+0%s+in ", "every%s+a: every 0.05s%s.*last error: apps/a.lua:10: no disk",
            "cron%s+a: report%s+waiting%s", "background%s+a: service%s+running%s.*at apps/a.lua:12 in sleep",
            "after%s+a: after mail%s.*for /a/",
        }) do
            assert.matches(pattern, out)
        end
    end)

    it("is not for threads: the error says where it goes", function()
        start([[
local t = app:every(1000, print, { name = "t" })
app:get("/start", { run = "thread" }, function()
    local ok, err = pcall(app.background, app, "x", print) return err.code .. ": " .. err.message
end)
app:get("/handle", { run = "thread" }, function() local ok, err = pcall(function() return t.runs end) return err.message end)
]])
        assert.equal("misuse: app:background cannot be called on a thread: call it while the file is loaded, in "
            .. "app:on_start or in a handler on the loop", site:get("/a/start").body)
        assert.equal("the handle of a timer or a background task lives on the loop: .runs cannot be used on a thread",
            site:get("/a/handle").body)
    end)
end)
