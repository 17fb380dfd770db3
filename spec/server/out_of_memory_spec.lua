--- Memory that has run out for good: the kernel ends a process of the server's cgroup. In real cgroups, where they can
--- be made (by root, with a memory controller of version 1 or 2), and with a counter that is made up, where not even
--- that is so.

local cgroups = require("spec.support.cgroup")
local process = require("spec.support.process")
local server = require("spec.support.server")
local socket = require("socket")

local APP = [[
local ffi = require("ffi")
ffi.cdef("int getpid(void); void *malloc(size_t); void *memset(void *, int, size_t);")
local moonloop = require("moonloop")
local app = moonloop.app()
local held = {}

-- Takes a little, again and again, and lets others have their turn.
local function without_end(take)
    for i = 1, math.huge do
        take(i)
        if i % 10 == 0 then moonloop.sleep(0) end
    end
end

app:get("/pid", function() return tostring(ffi.C.getpid()) end)
app:get("/sleep", function() moonloop.sleep(1.5) return "slept" end)
app:get("/strings", function() without_end(function(i) held[i] = ("x"):rep(100000) .. i end) end)
app:get("/memory", function() without_end(function() ffi.C.memset(ffi.C.malloc(1e5), 1, 1e5) end) end)
app:get("/shared", function()
    without_end(function(i) moonloop.shared("spec"):set("key" .. i, ("x"):rep(100000)) end)
end)
app:get("/program", function()
    local result = moonloop.process.run({ "sh", "-c", "x=$(head -c 2000000000 /dev/zero | tr '\\0' x); echo $x" })
    return tostring(result.signal or result.status)
end)
app:post("/body", { max_body = 2e9, timeout = 60 }, function(req) return tostring(#req:body()) end)
return app
]]

local MEMORY = server.is_sanitized and 800e6 or 100e6

local function count(text, plain)
    local times, at = 0, 1
    while true do
        at = select(2, text:find(plain, at, true))
        if not at then
            return times
        end
        times, at = times + 1, at + 1
    end
end

describe("a worker that the kernel kills in a real cgroup", function()
    after_each(server.clean)
    after_each(cgroups.clean)

    local can, reason = cgroups.new(MEMORY)
    cgroups.clean()
    if not can then
        pending(reason)
        return
    end

    ---A server in a group of its own, with a connection to each of its workers.
    local function start(nworkers, options)
        local group = assert(cgroups.new(MEMORY))
        local words = { "--workers", tostring(nworkers), "--no-reload" }
        for _, word in ipairs(options or {}) do
            words[#words + 1] = word
        end
        local site = server.start({ apps = { ["index.lua"] = APP }, options = words, prefix = group:prefix() })
        local connections = {}
        process.wait_for("a connection to each worker", function()
            local connection, known = site:connect(), 0
            local pid = tonumber(connection:request("GET", "/pid").body)
            connections[pid] = connections[pid] or connection
            for _ in pairs(connections) do known = known + 1 end
            return known == nworkers
        end)
        return site, group, connections
    end

    local function expect_report(site, group, pid, route)
        local log = site:wait_log("(pid " .. pid .. ") died: killed by SIGKILL (Killed); out of memory: the kernel"
            .. " chose it (its cgroup's oom_kill is 1, was 0; its limit is " .. ("%.1f MB)"):format(MEMORY / 1048576))
        assert.equal(1, group:kills())
        local line = log:match("[^\n]*out of memory[^\n]*")
        assert.matches('routes="' .. route .. " (", line, 1, true)
        assert.matches('memory="[%d.]+ MB" peak="[%d.]+ MB"', line)
        assert.is_true(tonumber(line:match('peak="([%d.]+)')) > MEMORY / 1048576 / 4, line)
        local status = site:status()
        assert.equal(1, status.crashes)
        assert.matches("(pid " .. pid .. ") died: killed by SIGKILL (Killed); out of memory: ", status.last_crash, 1,
            true)
        assert.matches("\ncrashes   1; the last %d+ s ago: worker %d %(pid " .. pid .. "%) died: ",
            site:call("status").out)
    end

    ---One of two workers takes all there is while the other has a request under way: the server, its group, the
    ---connections, who died and who did not, and what the other's client has got.
    local function exhaust(what)
        local site, group, connections = start(2)
        local victim = next(connections)
        local other = next(connections, victim)
        connections[other]:send("GET /sleep HTTP/1.1\r\nHost: a\r\n\r\n")
        connections[victim]:send("GET /" .. what .. " HTTP/1.1\r\nHost: a\r\n\r\n")
        process.wait_for("the end of the worker", function()
            local connection = site:connect() -- never refused
            connection:close()
            return not process.exists(victim)
        end)
        return site, group, connections, victim, other, connections[other]:read_response()
    end

    for _, what in ipairs({ "strings", "memory" }) do
        it("is reported with the kernel's counter, and takes nobody along: " .. what, function()
            local site, group, connections, victim, other, response = exhaust(what)
            -- On a busy machine the kernel may find a second victim before the first has given its memory back.
            for _ = 1, 2 do
                if group:kills() > 1 then
                    server.clean()
                    cgroups.clean()
                    site, group, connections, victim, other, response = exhaust(what)
                end
            end
            local master = site:pid()
            assert.equal("slept", response and response.body, site:log())
            assert.is_nil((connections[victim]:read_response()))
            expect_report(site, group, victim, "GET /" .. what)
            assert.equal(other, tonumber(connections[other]:request("GET", "/pid").body))
            assert.equal(master, site:status().pid)
            site:wait_status("both workers", function(status)
                return #status.workers == 2 and status.workers[1].state == "serving"
                    and status.workers[2].state == "serving"
            end)
        end)
    end

    it("has a successor that serves within 100 ms", function()
        local best = math.huge
        for _ = 1, 3 do
            local site, _, connections = start(1)
            local pid, connection = next(connections)
            local waiting = site:connect()
            connection:send("GET /memory HTTP/1.1\r\nHost: a\r\n\r\n")
            assert.is_nil((connection:read_response())) -- closed: it has died
            local began = socket.gettime()
            waiting:close()
            local body = site:get("/pid").body
            best = math.min(best, socket.gettime() - began)
            assert.not_equal(tostring(pid), body)
            server.clean()
            cgroups.clean()
        end
        assert.is_true(best < (server.is_sanitized and 1 or 0.1), best .. " s")
    end)

    it("is told by what it had when a client's body was too much", function()
        local site, group, connections = start(1)
        local pid, connection = next(connections)
        connection:send(("POST /body HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n"):format(1.5e9))
        local piece = ("x"):rep(1e6)
        for _ = 1, 1500 do
            connection:send(piece)
            if not process.exists(pid) then
                break
            end
        end
        expect_report(site, group, pid, "POST /body")
        assert.equal(200, site:get("/pid").status)
    end)

    -- What the dictionary has taken stays when a worker goes: its successors go as well, never the master.
    it("is warned of beforehand where the shared dictionary may take what there is, and leaves the master", function()
        local size = MEMORY * 2
        local site, group, connections = start(1, { "--shared-size", ("%d"):format(size) })
        site:wait_log(("shared_size is %.1f MB, the cgroup's memory is limited to %.1f MB"):format(size / 1048576,
            MEMORY / 1048576))
        local master, pid, connection = site:pid(), next(connections)
        connection:send("GET /shared HTTP/1.1\r\nHost: a\r\n\r\n")
        assert.is_nil((connection:read_response()))
        site:wait_log("(pid " .. pid .. ") died: killed by SIGKILL (Killed); out of memory: ")
        assert.is_true(group:kills() > 0)
        assert.equal(master, site:status().pid)
    end)

    it("is the one to go before others that hold as much: its oom_score_adj is 100 above the master's", function()
        local site = server.start({
            apps = { ["index.lua"] = APP }, prefix = "echo 950 > /proc/self/oom_score_adj; exec",
        })
        local function score(pid) return tonumber(process.read("/proc/" .. pid .. "/oom_score_adj")) end
        assert.equal(950, score(site:pid()))
        assert.equal(1000, score(site:worker_pids()[1]))
        site:stop()
        site = server.start({ apps = { ["index.lua"] = APP }, options = { "--user", "nobody" } })
        assert.equal(score(site:pid()) + 100, score(site:worker_pids()[1]))
    end)

    it("is not blamed for a program of its own that the kernel killed, nor for its helper", function()
        local site, group, connections = start(1)
        local pid = next(connections)
        assert.equal(200, site:get("/program").status)
        site:wait_log("out of memory: the kernel has killed a process of this cgroup that is no worker (its oom_kill is"
            .. " " .. group:kills() .. ", was 0)")
        process.kill(pid, "KILL")
        local log = site:wait_log("(pid " .. pid .. ") died: killed by SIGKILL (Killed)")
        assert.equal(1, count(log, "out of memory"))
        assert.equal(200, site:get("/pid").status)
    end)

    it("is found in a cgroup of its own, where the kernel says that (version 2)", function()
        local site, _, connections = start(1)
        local own = assert(cgroups.new(MEMORY / 2))
        if not own.is_unified then
            pending("version 1 forgets the cgroup of a process that has ended")
            return
        end
        local pid, connection = next(connections)
        own:add(pid)
        connection:send("GET /memory HTTP/1.1\r\nHost: a\r\n\r\n")
        site:wait_log("(pid " .. pid .. ") died: killed by SIGKILL (Killed); out of memory")
    end)
end)

describe("a worker that is killed beside a counter", function()
    after_each(server.clean)

    -- The kernel's counter, as the server finds it, is a file of this spec in a mount name space of the server's own.
    it("was out of memory if that has risen, and not if it has not", function()
        local directory = process.directory()
        process.write(directory .. "/memory.events", "low 0\noom 0\noom_kill 4\n")
        local try = process.run({ "unshare", "-m", "mount", "--bind", directory, "/sys/fs/cgroup" })
        if try.code ~= 0 then
            pending("needs a mount name space of its own")
            return
        end
        local site = server.start({
            apps = { ["index.lua"] = APP }, options = { "--workers", "1" },
            prefix = ("exec unshare -m sh -c 'mount --bind %s /sys/fs/cgroup && exec \"$0\" \"$@\"'"):format(directory),
        })
        local pid = site:worker_pids()[1]
        local file = assert(io.open(directory .. "/memory.events", "w")) -- the same file: it is the one that is mounted
        file:write("low 0\noom 1\noom_kill 5\n")
        file:close()
        process.kill(pid, "KILL")
        site:wait_log("(pid " .. pid .. ") died: killed by SIGKILL (Killed); out of memory: the kernel chose it "
            .. "(its cgroup's oom_kill is 5, was 4; it has no limit of its own)")
        pid = site:wait_status("a successor", function(status)
            return #status.workers == 1 and status.workers[1].pid ~= pid and status.workers[1].state == "serving"
        end).workers[1].pid
        process.kill(pid, "KILL")
        local log = site:wait_log("(pid " .. pid .. ") died: killed by SIGKILL (Killed)")
        assert.equal(1, count(log, "out of memory"))
    end)
end)
