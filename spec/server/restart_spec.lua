--- `moonloop restart`: every worker is replaced, or the one that could not be is named and all others go on.

local process = require("spec.support.process")
local server = require("spec.support.server")

local APP = [[
local ffi = require("ffi")
ffi.cdef("void _exit(int); int usleep(unsigned);")
local file = io.open("flag")
local wish = file and file:read("*a")
if wish == "exit" or wish == "second" and io.open("taken") then
    ffi.C._exit(9)
elseif wish == "second" then
    io.open("taken", "w"):close()
elseif wish == "hang" then
    while true do ffi.C.usleep(100000) end
end
local moonloop = require("moonloop")
local app = moonloop.app()
app:get("/", function() return "hello\n" end)
app:get("/hear", function()
    for message in moonloop.topic("news"):subscribe() do return message end
end)
app:get("/say", function() moonloop.topic("news"):publish("news") return "said" end)
return app
]]

local function start(...)
    return server.start({ apps = { ["hello.lua"] = APP }, options = { "--workers", "2", "--no-reload", ... } })
end

describe("a rolling restart", function()
    after_each(server.clean)

    it("replaces every worker", function()
        local site = start()
        local before = site:worker_pids()
        assert.equal(0, site:call("restart", "--wait").code)
        assert.equal("every worker is new\n", site:call("restart", "--wait").out)
        for _, pid in ipairs(site:worker_pids()) do
            assert.is_false(pid == before[1] or pid == before[2])
        end
    end)

    it("lets topics reach the former workers, which finish requests", function()
        local site = start()
        local ear = site:connect()
        ear:send("GET /hello/hear HTTP/1.1\r\nHost: a\r\n\r\n")
        site:wait_status("the ear", function(status)
            return status.workers[1].in_flight + status.workers[2].in_flight == 1
        end)
        assert.equal(0, site:call("restart", "--wait").code)
        assert.equal("said", site:get("/hello/say").body)
        assert.equal("news", ear:read_response().body)
    end)

    it("that fails says so and why, and the former workers go on", function()
        local site = start()
        local before = site:worker_pids()
        process.write(site.dir .. "/flag", "exit")
        local answer = site:call("restart", "--wait")
        assert.equal(1, answer.code)
        assert.matches("^the restart has failed: worker 1 %(pid %d+%) did not start: exit code 9; "
            .. "0 of 2 workers are new, the others go on as they are\n$", answer.err)
        assert.same(before, site:worker_pids())
        assert.equal("hello\n", site:get("/hello/").body)
        answer = site:call("restart", "--wait", "--json")
        assert.equal(1, answer.code)
        assert.is_false(require("cjson").decode(answer.out).ok)
        site:wait_log("the workers cannot all be replaced: worker 1")
        os.remove(site.dir .. "/flag")
        assert.equal(0, site:call("restart", "--wait").code)
        assert.not_same(before, site:worker_pids())
    end)

    it("that fails in its middle says how far it came", function()
        local site = start()
        local before = site:worker_pids()
        process.write(site.dir .. "/flag", "second")
        local answer = site:call("restart", "--wait")
        assert.equal(1, answer.code)
        assert.matches("worker 2 %(pid %d+%) did not start: exit code 9; 1 of 2 workers are new", answer.err)
        assert.is_true(process.exists(before[2]))
        process.wait_for("the first to leave", function() return not process.exists(before[1]) end)
        assert.equal("hello\n", site:get("/hello/").body)
    end)

    it("that fails because code does not come to its end says so after the timeout", function()
        local site = start("--timeout", "0.5", "--block-limit", "60")
        local before = site:worker_pids()
        process.write(site.dir .. "/flag", "hang")
        local answer = site:call("restart", "--wait")
        assert.equal(1, answer.code)
        assert.matches("worker 1 %(pid %d+%) did not start: killed by SIGKILL", answer.err)
        assert.matches("has held its loop for", site:log())
        assert.same(before, site:worker_pids())
    end)
end)
