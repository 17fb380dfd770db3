--- What the watchdog interrupts, what it leaves alone, and what it says.

local process = require("spec.support.process")
local server = require("spec.support.server")

--- By name: a body that holds the loop for ever.
local ENDLESS = {
    ["an empty loop"] = "while true do end",
    ["a counted loop"] = "local s = 0 for i = 1, 1e15 do s = s + i end return s",
    ["repeat"] = "local i = 0 repeat i = i + 1 until i < 0",
    ["goto"] = "::again:: goto again",
    ["tail calls"] = "local function f() return f() end return f()",
    ["calls back and forth"] = "local function f(g) return 1 end while true do f(f) end",
    ["a loop of strings and tables"] =
        "local t = {} while true do t[#t + 1] = ('x'):rep(9) if #t > 99 then t = {} end end",
    ["a loop inside pcall"] = "pcall(function() while true do end end) return 'swallowed'",
    ["a pcall as the last call"] = "return pcall(function() while true do end end)",
    ["a loop around and inside pcall"] = "while true do pcall(function() while true do end end) end",
    ["xpcall's handler"] = "return xpcall(error, function() while true do end end)",
    ["xpcall whose handler loops as well"] =
        "return xpcall(function() while true do end end, function() while true do end end)",
    ["coroutine.wrap"] = "coroutine.wrap(function() while true do end end)()",
    ["a coroutine resumed for ever"] =
        "local co = coroutine.wrap(function() while true do coroutine.yield() end end) while true do co() end",
    ["a callback of string.gsub"] = "return (('x'):gsub('.', function() while true do end end))",
    ["a callback of table.sort"] = "table.sort({ 3, 2, 1 }, function() while true do end end)",
    ["__index"] = "return setmetatable({}, { __index = function() while true do end end }).x",
    ["FFI stores"] = "local a, i = ffi.new('int[16]'), 0 while true do a[i % 16] = i i = i + 1 end",
    ["a spawned task"] = "moonloop.spawn(function() while true do end end):wait()",
    ["a spawned task that is waited for in pcall"] =
        "pcall(function() moonloop.spawn(function() while true do end end):wait() end) while true do end",
    ["a task of a task, all waited for"] =
        "moonloop.gather(function() moonloop.spawn(function() while true do end end):wait() end)",
    ["code after a task that was waited for"] = "moonloop.spawn(function() end):wait() while true do end",
    ["code after a wait"] = "moonloop.sleep(0.01) while true do end",
    ["a function with the compiler off"] = "local function f() while true do end end jit.off(f) f()",
}

local HEAD = [[
local moonloop = require("moonloop")
local ffi = require("ffi")
pcall(ffi.cdef, "int usleep(unsigned int);")
local app = moonloop.app()
app:get("/fine", function() return "fine" end)
]]

local function start(body, given)
    given = given or {}
    given.apps = given.apps or {}
    given.apps["hello.lua"] = HEAD .. body .. "\nreturn app\n"
    given.options = given.options or { "--workers", "1", "--block-limit", "0.2" }
    return server.start(given)
end

describe("the watchdog #watchdog", function()
    local names, routes = {}, {}
    for name, body in pairs(ENDLESS) do
        names[#names + 1] = name
        routes[#routes + 1] = ("app:get(%q, function()\n%s\nend)"):format("/" .. name:gsub("%W", "-"), body)
    end
    table.sort(names)

    describe("answers 500 and goes on after", function()
        local site
        setup(function()
            site = start(table.concat(routes, "\n"))
        end)
        teardown(server.clean)

        for _, name in ipairs(names) do
            it(name, function()
                local pid = site:worker_pids()[1]
                local target = "/hello/" .. name:gsub("%W", "-")
                for _ = 1, 2 do -- the second time it may have been compiled
                    assert.equal(500, site:get(target).status)
                    assert.equal("fine", site:get("/hello/fine").body)
                end
                assert.equal(pid, site:worker_pids()[1])
            end)
        end
    end)

    describe("", function()
        after_each(server.clean)

        it("serves the requests that came meanwhile", function()
            local site = start('app:get("/loop", function() while true do end end)')
            local stuck, other = site:connect(), site:connect()
            stuck:send("GET /hello/loop HTTP/1.1\r\nHost: x\r\n\r\n")
            other:send("GET /hello/fine HTTP/1.1\r\nHost: x\r\n\r\n")
            assert.equal("fine", other:read_response().body)
            assert.equal(500, stuck:read_response().status)
        end)

        it("logs app, route, request, how long and where", function()
            local site = start('app:get("/loop/{id}", function()\n  local x = 0\n  while true do x = x + 1 end\nend)')
            local response = site:get("/hello/loop/7")
            assert.equal(500, response.status)
            local log = site:wait_log("interrupted: apps/hello.lua:8: held the loop for 0.")
            assert.truthy(log:find("app=hello", 1, true))
            assert.truthy(log:find("route=/hello/loop/{id}", 1, true))
            assert.truthy(log:find("stack traceback:\n%s+apps/hello.lua:8: in function"))
            assert.truthy(log:find("request_id=" .. response.headers["x-request-id"], 1, true))
            local _, count = log:gsub("held the loop", "")
            assert.equal(1, count)
        end)

        it("interrupts middleware, error handlers and not-found handlers", function()
            local site = start([[
                app:use(function(req, res, next)
                    if req.query.loop then while true do end end
                    return next()
                end)
                app:get("/raise", function() error("first") end)
                app:on_error(function(err)
                    if tostring(err):find("first") then while true do end end
                    return "handled " .. err.code, 500
                end)
                app:not_found(function() while true do end end)
            ]])
            assert.equal("handled blocked", site:get("/hello/fine?loop=1").body)
            assert.equal(500, site:get("/hello/raise").status)
            assert.equal(500, site:get("/hello/nowhere").status)
            assert.equal("fine", site:get("/hello/fine").body)
        end)

        it("fails the load of an app that does not end, and of no other", function()
            local site = start("", { apps = { ["stuck.lua"] = "local x = 1\nwhile true do x = x + 1 end\n" } })
            site:wait_log("apps/stuck.lua:2: held the loop")
            assert.equal("fine", site:get("/hello/fine").body)
            assert.equal(500, site:get("/stuck/").status)
            site:write("stuck.lua", HEAD .. "return app\n")
            process.wait_for("the mended app", function()
                return site:get("/stuck/fine").body == "fine"
            end)
        end)

        it("refuses a change whose load does not end, and the old code goes on", function()
            local site = start("")
            site:write("hello.lua", "while true do pcall(function() while true do end end) end\n")
            site:wait_log("apps/hello.lua:1: held the loop")
            assert.equal("fine", site:get("/hello/fine").body)
        end)

        it("interrupts a request that drains on an old generation, and new ones", function()
            local site = start([[
                app:get("/late", function() moonloop.sleep(1) while true do end end)
                app:get("/version", function() return "old" end)
            ]])
            local connection = site:connect()
            connection:send("GET /hello/late HTTP/1.1\r\nHost: x\r\n\r\n")
            site:wait_status("the request to run", function(status)
                return status.workers[1].in_flight > 0
            end)
            site:write("hello.lua", HEAD .. 'app:get("/loop", function() while true do end end)\n'
                .. 'app:get("/version", function() return "new" end)\nreturn app\n')
            process.wait_for("the new code", function()
                return site:get("/hello/version").body == "new"
            end)
            assert.equal(500, site:get("/hello/loop").status)
            assert.equal(500, connection:read_response().status)
            assert.equal(500, site:get("/hello/loop").status)
            assert.equal("new", site:get("/hello/version").body)
        end)

        it("names the line of a call that blocks, and lets the call end", function()
            local site = start([[
                app:get("/nap", function()
                    ffi.C.usleep(150000)
                    return "woken"
                end)
            ]])
            for _ = 1, 3 do
                assert.equal("woken", site:get("/hello/nap").body)
            end
            local log = site:wait_log("apps/hello.lua:7: the loop stood still for")
            assert.truthy(log:find("app=hello route=/hello/nap handler=apps/hello.lua:6", 1, true))
        end)

        it("leaves a handler alone that computes for less than the limit", function()
            local site = start([[
                app:get("/work", function()
                    local clock, stop = os.clock, os.clock() + 0.05
                    while clock() < stop do end
                    return "done"
                end)
            ]], { options = { "--workers", "1", "--block-limit", "5" } })
            for _ = 1, 8 do
                assert.equal("done", site:get("/hello/work").body)
            end
            assert.is_nil(site:log():find("the loop", 1, true))
        end)

        it("does not hold it against a handler that others have the processor", function()
            local site = start([[
                app:get("/work", function()
                    assert(io.open("begun", "w")):close()
                    local clock, stop = os.clock, os.clock() + 0.05
                    while clock() < stop do end
                    return "done"
                end)
            ]])
            local pid = tostring(site:worker_pids()[1]) -- that of its main thread as well, which is the loop's
            local processor = process.run({ "taskset", "-pc", pid }).out:match(": (%d+)")
            local hog = process.spawn({ "taskset", "-c", processor, "sh", "-c", "while :; do :; done" })
            assert.equal(0, process.run({ "taskset", "-pc", processor, pid }).code)
            assert.equal(0, process.run({ "chrt", "--idle", "--pid", "0", pid }).code)
            local connection = site:connect()
            connection:send("GET /hello/work HTTP/1.1\r\nHost: x\r\n\r\n")
            process.wait_for("the handler to begin", function() return process.read(site.dir .. "/begun") end)
            require("moonloop").sleep(1) -- five times block_limit: it is time that has to pass here
            process.kill(hog.pid, "KILL")
            assert.equal("done", connection:read_response().body)
            assert.is_nil(site:log():find("interrupted", 1, true))
        end)

        it("keeps its tools from the apps", function()
            local site = start([[
                app:get("/hook", function() debug.sethook(function() end, "l") end)
                app:get("/profile", function() require("jit.profile") end)
                app:get("/loop", function() jit.off() jit.on() while true do end end)
            ]])
            assert.equal(500, site:get("/hello/hook").status)
            assert.equal(500, site:get("/hello/profile").status)
            assert.equal(500, site:get("/hello/loop").status)
            site:wait_log("debug.sethook is not available")
        end)

        it("has the current generation compiled, and none that drains", function()
            local site = start([[
                app:get("/", function() return tostring(jit.status()) end)
                app:get("/late", function() moonloop.sleep(0.5) return tostring(jit.status()) end)
            ]])
            assert.equal("true", site:get("/hello/").body)
            local connection = site:connect()
            connection:send("GET /hello/late HTTP/1.1\r\nHost: x\r\n\r\n")
            site:wait_status("the request to run", function(status)
                return status.workers[1].in_flight > 0
            end)
            site:write("hello.lua", HEAD .. 'app:get("/", function() return "new " .. tostring(jit.status()) end)\n'
                .. "return app\n")
            process.wait_for("the new code", function()
                return site:get("/hello/").body == "new true"
            end)
            assert.equal("false", connection:read_response().body)
        end)

        it("is off when block_limit is 0", function()
            local site = start([[
                app:get("/work", function()
                    local clock, stop = os.clock, os.clock() + 0.3
                    while clock() < stop do end
                    return "done"
                end)
            ]], { options = { "--workers", "1", "--block-limit", "0" } })
            assert.equal("done", site:get("/hello/work").body)
            assert.is_nil(site:log():find("the loop", 1, true))
        end)
    end)
end)
