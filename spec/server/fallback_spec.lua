local process = require("spec.support.process")
local server = require("spec.support.server")

local GOOD = [[
local moonloop = require("moonloop")
local app = moonloop.app()
app:get("/", function() return "good\n" end)
app:get("/slow", function() moonloop.sleep(1) return "slow\n" end)
return app
]]

local BAD = [[
local ffi = require("ffi")
pcall(ffi.cdef, "void abort(void);")
local app = require("moonloop").app()
app:get("/", function() return "bad\n" end)
app:get("/crash", function() ffi.C.abort() end)
return app
]]

--- Crashes a worker, and waits for its successor.
local function crash(site)
    local before = site:status().crashes
    local connection = site:connect()
    connection:send("GET /hello/crash HTTP/1.1\r\nHost: a\r\n\r\n")
    connection:read_all()
    connection:close()
    site:wait_status("a crash", function(status)
        return status.crashes > before
    end)
    process.wait_for("a successor", function()
        return #site:worker_pids() == 2
    end)
end

local function wait_body(site, body)
    process.wait_for(body, function()
        return site:get("/hello/").body == body
    end)
end

describe("code that kills workers just after it has become live", function()
    after_each(server.clean)

    local function start()
        local site = server.start({ apps = { ["hello.lua"] = GOOD }, options = { "--workers", "2" } })
        site:write("hello.lua", BAD)
        site:wait_log("generation 2 is live")
        return site
    end

    it("is taken back at the third death: the code before it is live again, and status says why", function()
        local site = start()
        crash(site)
        crash(site)
        assert.equal("bad\n", site:get("/hello/").body)
        crash(site)
        site:wait_log("generation 2 is taken back: workers died of it 3 times just after it had become live: "
            .. "killed by SIGABRT")
        wait_body(site, "good\n")
        site:wait_status("every worker to be of the third generation", function(status)
            local count = 0
            for _, worker in ipairs(status.workers) do
                count = count + (worker.generation == 3 and worker.state == "serving" and 1 or 0)
            end
            return count == 2 and #status.workers == 2
        end)
        assert.matches("workers died of it 3 times", site:call("status").out)
    end)

    it("is not tried again before it changes, and what comes next is", function()
        local site = start()
        for _ = 1, 3 do
            crash(site)
        end
        wait_body(site, "good\n")
        site:write("hello.lua", BAD) -- the same bytes
        site:write("hello.lua", (GOOD:gsub("good", "better")))
        wait_body(site, "better\n")
        assert.is_nil(site:call("status").out:find("died of it", 1, true))
    end)

    it("at the very start has nothing to go back to: workers are replaced, later and later", function()
        local site = server.start({ apps = { ["hello.lua"] = BAD }, options = { "--workers", "2" } })
        crash(site)
        crash(site)
        assert.is_nil(site:log():find("taken back", 1, true))
        assert.equal("bad\n", site:get("/hello/").body)
    end)

    it("is not blamed for workers that somebody killed", function()
        local site = start()
        for _ = 1, 4 do
            local pid = site:worker_pids()[1]
            process.kill(pid, "KILL")
            site:wait_status("a successor", function(status)
                return #status.workers == 2 and status.workers[1].pid ~= pid and status.workers[1].state == "serving"
            end)
        end
        assert.equal("bad\n", site:get("/hello/").body)
    end)
end)
