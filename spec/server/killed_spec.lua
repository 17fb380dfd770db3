--- Workers that are killed at any moment, under load: what clients lose, how soon the successor serves.
--- Those that the kernel kills for their memory are in out_of_memory_spec.lua.

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
    local KILLS, AT_ONCE = server.rounds(12), 8

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
