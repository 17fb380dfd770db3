--- Workers that are killed at any moment, under load: what clients lose, how soon the successor serves, what the log
--- says of memory.

local probes = require("spec.support.probe")
local process = require("spec.support.process")
local server = require("spec.support.server")
local socket = require("socket")

local APP = [[
local ffi = require("ffi")
ffi.cdef("int getpid(void);")
local moonloop = require("moonloop")
local app = moonloop.app()
app:get("/", function() return "hello\n" end)
app:get("/pid", function() return tostring(ffi.C.getpid()) end)
return app
]]

local function start(given)
    given = given or {}
    given.apps = { ["hello.lua"] = APP }
    return server.start(given)
end

local function serving(site)
    local pids = {}
    for _, worker in ipairs(site:status().workers) do
        if worker.state == "serving" then
            pids[worker.pid] = worker.worker
        end
    end
    return pids
end

describe("a worker that is killed", function()
    after_each(server.clean)

    -- In the probe: what a killed worker had in flight, or was idle with, is closed or reset; nothing is ever refused,
    -- waits in vain or is answered wrongly. Each kill costs its eight connections one request at most.
    local KILLS, AT_ONCE = 12, 8

    it("costs only the requests that it had itself, whenever that is, and the port never refuses", function()
        local site = start({ options = { "--workers", "3" } })
        local probe = probes.start(site, "/hello/", "hello\n", 1000)
        for kill = 1, KILLS do
            probe:wait_requests(7 * kill % 40 + 5) -- at no moment in particular
            local worker = process.wait_for("a worker", function()
                return site:status().workers[kill % 3 + 1]
            end)
            pcall(process.kill, worker.pid, "KILL") -- also one that boots, or is on its way out
            if kill % 4 == 0 then
                site:write("hello.lua", APP .. "-- " .. kill) -- dies while it builds new code
            elseif kill % 4 == 1 then
                site:signal("HUP")
            end
        end
        site:wait_status("all workers", function(status)
            return #status.workers == 3 and status.workers[1].state == "serving"
                and status.workers[2].state == "serving" and status.workers[3].state == "serving"
        end)
        probe:wait_requests(50)
        local result = probe:stop()
        assert.is_true(#result.failures <= KILLS * AT_ONCE, #result.failures)
        for _, failure in ipairs(result.failures) do
            assert.is_true(failure:find("ConnectionResetError", 1, true) ~= nil
                or failure:find("closed after 0 bytes of the head", 1, true) ~= nil
                or failure:find("BrokenPipeError", 1, true) ~= nil, failure)
        end
    end)

    it("has a successor that serves within 100 ms", function()
        local best = math.huge
        for _ = 1, 5 do
            local site = start({ options = { "--workers", "1" } })
            local pid = site:worker_pids()[1]
            assert.equal(tostring(pid), site:get("/hello/pid").body)
            local began = socket.gettime()
            process.kill(pid, "KILL")
            local connection = site:connect() -- it waits in the queue that the master holds open
            local body = connection:request("GET", "/hello/pid").body
            best = math.min(best, socket.gettime() - began)
            assert.not_equal(tostring(pid), body)
            connection:close()
            site:stop()
        end
        assert.is_true(best < (server.is_sanitized and 1 or 0.1), best .. " s")
    end)

    it("is replaced while others boot: each of several that are killed at once", function()
        local site = start({ options = { "--workers", "4" } })
        local before = serving(site)
        for pid in pairs(before) do
            process.kill(pid, "KILL")
        end
        process.wait_for("four others", function()
            local count = 0
            for pid in pairs(serving(site)) do
                if before[pid] then
                    return false
                end
                count = count + 1
            end
            return count == 4
        end)
        assert.equal(200, site:get("/hello/").status)
        assert.equal(4, site:status().crashes)
    end)
end)

describe("a worker that the kernel kills for its memory", function()
    after_each(server.clean)

    -- The kernel's counter, as the server finds it, is a file of this spec in a mount name space of the server's own.
    it("is told from one that somebody kills, by the counter of the cgroup", function()
        local cgroups = process.directory()
        process.write(cgroups .. "/memory.events", "low 0\noom 0\noom_kill 4\n")
        local try = process.run({ "unshare", "-m", "mount", "--bind", cgroups, "/sys/fs/cgroup" })
        if try.code ~= 0 then
            pending("needs a mount name space of its own")
            return
        end
        local site = start({
            options = { "--workers", "1" },
            prefix = ("exec unshare -m sh -c 'mount --bind %s /sys/fs/cgroup && exec \"$0\" \"$@\"'"):format(cgroups),
        })
        local pid = site:worker_pids()[1]
        local file = assert(io.open(cgroups .. "/memory.events", "w")) -- the same file: it is the one that is mounted
        file:write("low 0\noom 1\noom_kill 5\n")
        file:close()
        process.kill(pid, "KILL")
        site:wait_log("(pid " .. pid .. ") died: killed by SIGKILL (Killed); out of memory: "
            .. "the cgroup's limit was reached (its oom_kill is 5, was 4)")
        pid = site:wait_status("a successor", function(status)
            return #status.workers == 1 and status.workers[1].pid ~= pid and status.workers[1].state == "serving"
        end).workers[1].pid
        process.kill(pid, "KILL")
        local log = site:wait_log("(pid " .. pid .. ") died: killed by SIGKILL (Killed)")
        assert.not_matches("(pid " .. pid .. ") died: killed by SIGKILL (Killed); out of memory", log, 1, true)
    end)
end)
