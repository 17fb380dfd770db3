local process = require("spec.support.process")
local server = require("spec.support.server")

local APP = [[
local ffi = require("ffi")
pcall(ffi.cdef, "int usleep(unsigned int); int getpid(void); void abort(void);")
local moonloop = require("moonloop")
local app = moonloop.app()
app:get("/", function() return "hello\n" end)
app:get("/pid", function() return tostring(ffi.C.getpid()) end)
app:get("/sleep", function() moonloop.sleep(0.5) return "slept\n" end)
app:get("/long", function() moonloop.sleep(60) return "slept\n" end)
app:get("/stuck", function() return ("a"):rep(60):find(("a-"):rep(30) .. "b") end) -- a C call of hours
app:get("/abort", function() ffi.C.abort() end)
return app
]]

local function start(given)
    given = given or {}
    given.apps = { ["hello.lua"] = APP }
    return server.start(given)
end

--- Connections that have sent a request and not read the answer.
local function ask(site, count, target)
    local crowd = {}
    for i = 1, count do
        crowd[i] = site:connect()
        crowd[i]:send("GET " .. target .. " HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    end
    return crowd
end

--- How many of them are answered 200.
local function count_answers(crowd)
    local good = 0
    for _, connection in ipairs(crowd) do
        local response = connection:read_response()
        good = good + (response and response.status == 200 and 1 or 0)
        connection:close()
    end
    return good
end

--- Waits for another worker than `pid` in the place of the first.
local function wait_successor(site, pid)
    return site:wait_status("a successor", function(status)
        local worker = status.workers[1]
        return #status.workers == 1 and worker.pid ~= pid and worker.state == "serving"
    end).workers[1].pid
end

describe("a worker that dies", function()
    after_each(server.clean)

    it("is replaced at once, and the log says why and what it was running", function()
        local site = start()
        local pid = site:worker_pids()[1]
        local crowd = ask(site, 2, "/hello/long")
        site:wait_status("two requests in flight", function(status)
            return status.workers[1].in_flight == 2
        end)
        process.kill(pid, "KILL")
        wait_successor(site, pid)
        assert.matches("worker 1 %(pid " .. pid .. "%) died: killed by SIGKILL", site:log())
        assert.matches('routes="GET /hello/long x2 %(waiting%)" memory="%d+%.%d MB"', site:log())
        assert.equal(200, site:get("/hello/").status)
        assert.equal(0, count_answers(crowd))
    end)

    it("leaves the connections that wait in its queue to its successor", function()
        local site = start()
        local pid = site:worker_pids()[1]
        process.kill(pid, "STOP")
        local crowd = ask(site, 20, "/hello/")
        process.kill(pid, "KILL")
        assert.equal(20, count_answers(crowd))
    end)

    it("names the signal and the route of a crash in C", function()
        local site = start()
        local pid = site:worker_pids()[1]
        local connection = site:connect()
        connection:send("GET /hello/abort HTTP/1.1\r\nHost: localhost\r\n\r\n")
        wait_successor(site, pid)
        assert.matches("died: killed by SIGABRT (Aborted", site:log(), 1, true)
        assert.matches('routes="GET /hello/abort (running)"', site:log(), 1, true)
        connection:close()
    end)

    it("is waited for longer each time when it dies young", function()
        local site = start()
        local pid
        for _ = 1, 2 do
            pid = wait_successor(site, pid)
            process.kill(pid, "KILL")
            site:wait_log("(pid " .. pid .. ") died")
        end
        site:wait_log("worker 1 died 2 times in a row just after its start: waiting 1 s")
        -- Meanwhile clients wait; they are not refused.
        assert.equal(200, site:get("/hello/").status)
        assert.equal(2, site:status().crashes)
    end)

    it("costs the other workers nothing under load", function()
        local site = start({ options = { "--workers", "2" } })
        local pids = site:worker_pids()
        for round = 1, 4 do
            local survivors = {}
            process.wait_for("connections to the other worker", function()
                local connection = site:connect()
                local pid = tonumber(connection:request("GET", "/hello/pid").body)
                if pid == pids[2] then
                    survivors[#survivors + 1] = connection
                else
                    connection:close()
                end
                return #survivors == 5
            end)
            process.kill(pids[1], "KILL")
            for _, connection in ipairs(survivors) do
                assert.equal(200, connection:request("GET", "/hello/").status)
                connection:close()
            end
            pids[1] = site:wait_status("both", function(status)
                local first = status.workers[1].worker == 1 and 1 or 2
                return #status.workers == 2 and status.workers[first].state == "serving"
                    and status.workers[3 - first].state == "serving"
            end) and site:worker_pids()
            pids = { pids[1][1] == pids[2] and pids[1][2] or pids[1][1], pids[2] }
            assert.equal(round, site:status().crashes)
        end
    end)

    it("is killed when its loop is stuck in C longer than the timeout, with the route named", function()
        local site = start({ options = { "--workers", "1", "--timeout", "0.5" } })
        local pid = site:worker_pids()[1]
        local connection = site:connect()
        connection:send("GET /hello/stuck HTTP/1.1\r\nHost: localhost\r\n\r\n")
        site:wait_log("has held its loop for")
        assert.matches('routes="GET /hello/stuck (running)"', site:log(), 1, true)
        assert.not_equal(pid, wait_successor(site, pid))
        assert.equal(200, site:get("/hello/").status)
        connection:close()
    end)
end)

describe("one worker alone", function()
    after_each(server.clean)

    it("finishes its requests and is replaced when it is sent SIGTERM", function()
        local site = start()
        local pid = site:worker_pids()[1]
        local crowd = ask(site, 3, "/hello/sleep")
        site:wait_status("requests in flight", function(status)
            return status.workers[1].in_flight == 3
        end)
        process.kill(pid, "TERM")
        assert.equal(200, site:get("/hello/").status)
        assert.equal(3, count_answers(crowd))
        wait_successor(site, pid)
        assert.equal(0, site:status().crashes)
    end)

    it("is replaced after max_requests without a failed request", function()
        local site = start({ options = { "--workers", "1", "--max-requests", "20" } })
        local first = site:worker_pids()[1]
        local seen = {}
        process.wait_for("a third worker", function()
            local response = site:get("/hello/pid")
            assert.equal(200, response.status)
            seen[response.body] = true
            local count = 0
            for _ in pairs(seen) do
                count = count + 1
            end
            return count == 3
        end, 20)
        assert.equal(0, site:status().crashes)
        site:wait_log("(pid " .. first .. ") has reached max_requests: replacing it")
    end)

    it("is replaced when it has grown over max_memory", function()
        local site = start({ options = { "--workers", "1", "--max-memory", "1K" } })
        site:wait_log("has reached max_memory: replacing it")
        assert.equal(200, site:get("/hello/").status)
    end)
end)

describe("stopping", function()
    after_each(server.clean)

    for _, signal in ipairs({ "TERM", "INT", "QUIT" }) do
        it("on SIG" .. signal .. " finishes the requests in flight and refuses new ones", function()
            local site = start({ options = { "--workers", "2" } })
            local crowd = ask(site, 4, "/hello/sleep")
            site:wait_status("requests in flight", function(status)
                return status.workers[1].in_flight + status.workers[2].in_flight == 4
            end)
            site:signal(signal)
            assert.equal(4, count_answers(crowd))
            local how, code = site.process:wait()
            assert.same({ "exited", 0 }, { how, code })
            assert.is_false(pcall(site.connect, site))
        end)
    end

    it("cuts what does not end within graceful_timeout", function()
        local site = start({ options = { "--workers", "1", "--graceful-timeout", "0.2" } })
        local crowd = ask(site, 1, "/hello/long")
        site:wait_status("a request in flight", function(status)
            return status.workers[1].in_flight == 1
        end)
        site:stop()
        assert.matches("graceful_timeout is over", site:log())
        assert.equal(0, count_answers(crowd))
    end)

    it("forgets a connection that ends in the moment in which it is told to stop", function()
        local site = start({ options = { "--workers", "1", "--graceful-timeout", "1" } })
        local crowd, idle = ask(site, 1, "/hello/long"), {}
        for i = 1, 20 do
            idle[i] = site:connect()
            assert.equal(200, idle[i]:request("GET", "/hello/").status)
        end
        local pid = site:worker_pids()[1]
        process.kill(pid, "STOP") -- so that it hears of both at once
        for _, connection in ipairs(idle) do
            connection:close()
        end
        site:signal("TERM")
        site:wait_log("SIGTERM: stopping")
        process.kill(pid, "CONT")
        site.process:wait()
        assert.matches("graceful_timeout is over", site:log())
        assert.not_matches("died", site:log())
        assert.equal(0, count_answers(crowd))
    end)

    it("is forced by a second signal", function()
        local site = start()
        local crowd = ask(site, 1, "/hello/long")
        site:wait_status("a request in flight", function(status)
            return status.workers[1].in_flight == 1
        end)
        local pid = site:worker_pids()[1]
        site:signal("INT")
        site:wait_log("SIGINT: stopping")
        site:signal("INT")
        site.process:wait(5)
        assert.is_false(process.exists(pid))
        assert.equal(0, count_answers(crowd))
    end)

    it("comes to the workers by itself when the master is killed", function()
        local site = start({ options = { "--workers", "2" } })
        local pids = site:worker_pids()
        local crowd = ask(site, 2, "/hello/sleep")
        site:wait_status("requests in flight", function(status)
            return status.workers[1].in_flight + status.workers[2].in_flight == 2
        end)
        site:signal("KILL")
        assert.equal(2, count_answers(crowd))
        process.wait_for("the end of the workers", function()
            return not process.exists(pids[1]) and not process.exists(pids[2])
        end)
        assert.matches("the master is gone: leaving", site:log())
        -- Nothing keeps the port.
        server.start({ apps = { ["hello.lua"] = APP }, bind = "127.0.0.1:" .. site.port })
    end)

    -- #tsan_cannot: it keeps signals back until a function that it intercepts is called, and that one calls none.
    it("comes to a worker that is stuck in C by itself, too #tsan_cannot", function()
        local site = start({ options = { "--workers", "1", "--graceful-timeout", "1" } })
        local pid = site:worker_pids()[1]
        local connection = site:connect()
        connection:send("GET /hello/stuck HTTP/1.1\r\nHost: localhost\r\n\r\n")
        site:wait_status("the request in flight", function(status)
            return status.workers[1].in_flight == 1
        end)
        site:signal("KILL")
        process.wait_for("the end of the worker", function() return not process.exists(pid) end)
    end)

    for _, kind in ipairs({ "port", "Unix socket" }) do
        it("frees the " .. kind .. " of a killed master while its workers still finish long requests", function()
            local path = process.directory() .. "/socket"
            local site = start({ bind = kind ~= "port" and "unix:" .. path or nil })
            local pid = site:worker_pids()[1]
            local crowd = ask(site, 1, "/hello/long")
            site:wait_status("a request in flight", function(status)
                return status.workers[1].in_flight == 1
            end)
            site:signal("KILL")
            site:wait_log("the master is gone: leaving")
            local bind = kind == "port" and "127.0.0.1:" .. site.port or "unix:" .. path
            local successor = server.start({ apps = { ["hello.lua"] = APP }, bind = bind })
            assert.is_true(process.exists(pid))
            for _ = 1, 20 do -- every one of them reaches the new server
                assert.not_equal(tostring(pid), successor:get("/hello/pid").body)
            end
            process.kill(pid, "TERM") -- a second wish to leave: at once
            process.wait_for("the end of the worker", function() return not process.exists(pid) end)
            assert.equal(0, count_answers(crowd))
        end)
    end
end)

describe("the number of workers", function()
    after_each(server.clean)

    local function count(site, wanted)
        site:wait_status(wanted .. " workers", function(status)
            return #status.workers == wanted and status.workers_wanted == wanted
        end)
    end

    it("grows with SIGTTIN and shrinks with SIGTTOU", function()
        local site = start()
        site:signal("TTIN")
        count(site, 2)
        site:signal("TTIN")
        count(site, 3)
        site:signal("TTOU")
        count(site, 2)
        site:signal("TTOU")
        count(site, 1)
        site:signal("TTOU")
        site:wait_log("there are 1 to 256 workers")
        assert.equal(200, site:get("/hello/").status)
        assert.equal(0, site:status().crashes)
    end)

    it("is set by `moonloop scale`", function()
        local site = start()
        local result = site:call("scale", "3")
        assert.same({ 0, "workers: 3\n" }, { result.code, result.out })
        count(site, 3)
        assert.equal(0, site:call("scale", "1", "--json").code)
        count(site, 1)
        assert.not_equal(0, site:call("scale", "0").code)
        assert.not_equal(0, site:call("scale", "many").code)
    end)

    it("shrinks without losing a connection that was queued for the worker that leaves", function()
        local site = start({ options = { "--workers", "3" } })
        local pids = site:worker_pids()
        process.kill(pids[3], "STOP")
        local crowd = ask(site, 40, "/hello/")
        site:signal("TTOU")
        site:wait_log("workers: 2, were 3")
        for _, connection in ipairs(ask(site, 40, "/hello/")) do
            crowd[#crowd + 1] = connection
        end
        process.kill(pids[3], "CONT")
        assert.equal(80, count_answers(crowd))
        count(site, 2)
        site:signal("TTIN")
        count(site, 3)
        assert.equal(30, count_answers(ask(site, 30, "/hello/")))
    end)
end)
