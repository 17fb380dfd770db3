local cjson = require("cjson")
local process = require("spec.support.process")
local server = require("spec.support.server")

--- An app that answers `text`; `more` goes in front of it.
local function app(text, more)
    return (more or "") .. [[
local moonloop = require("moonloop")
local app = moonloop.app()
app:get("/", function() return "]] .. text .. [[" end)
app:get("/slow", function() moonloop.sleep(0.5) return "]] .. text .. [[" end)
return app
]]
end

local function start(given)
    given = given or {}
    given.apps = given.apps or { ["hello.lua"] = app("one") }
    return server.start(given)
end

local function wait_body(site, target, body)
    process.wait_for(("%q at %s"):format(body, target), function()
        return site:get(target).body == body
    end)
end

--- All workers serve the same generation; its number.
local function generation(site)
    local status = site:status()
    for _, worker in ipairs(status.workers) do
        assert.equal(status.generation, worker.generation)
    end
    return status.generation
end

describe("a change of an app", function()
    after_each(server.clean)

    it("is live a moment after the file was written", function()
        local site = start({ options = { "--workers", "2" } })
        assert.equal("one", site:get("/hello/").body)
        site:write("hello.lua", app("two"))
        wait_body(site, "/hello/", "two")
        assert.equal(2, generation(site))
        assert.equal("two", site:get("/hello/").body)
    end)

    it("is seen in new files, new directories, after renames and removals", function()
        local site = start()
        site:write("other.lua", app("other"))
        wait_body(site, "/other/", "other")
        site:write("deep/er/file.lua", "return 1")
        site:wait_log("generation 3 is live")
        site:write("deep/er/file.lua", "return 2")
        site:wait_log("generation 4 is live")
        assert(os.rename(site.apps_dir .. "/deep", site.apps_dir .. "/deeper"))
        site:wait_log("generation 5 is live")
        site:write("deeper/er/file.lua", "return 3")
        site:wait_log("generation 6 is live")
        site:remove("other.lua")
        process.wait_for("the app to go", function()
            return site:get("/other/").status == 404
        end)
    end)

    it("is not taken from editors' temporary files", function()
        local site = start()
        site:write(".hello.lua.swp", "x")
        site:write("hello.lua~", "x")
        site:write("#hello.lua#", "x")
        site:write("notes.txt", "x")
        site:write("hello.lua", app("two"))
        wait_body(site, "/hello/", "two")
        assert.equal(2, generation(site))
    end)

    it("is seen in a file outside that an app requires", function()
        local dir = process.directory()
        process.write(dir .. "/far_away.lua", "return 'far 1'")
        local site = start({
            apps = {
                ["hello.lua"] = [[
                    local text = require("far_away")
                    local app = require("moonloop").app()
                    app:get("/", function() return text end)
                    return app
                ]],
            },
            env = { LUA_PATH = dir .. "/?.lua;;" },
        })
        assert.equal("far 1", site:get("/hello/").body)
        process.write(dir .. "/far_away.lua", "return 'far 2'")
        wait_body(site, "/hello/", "far 2")
        process.write(dir .. "/unrelated.lua", "return 1")
        process.write(dir .. "/far_away.lua", "return 'far 3'")
        wait_body(site, "/hello/", "far 3")
        assert.equal(3, generation(site))
    end)

    it("does nothing when the bytes are the same", function()
        local site = start()
        site:write("hello.lua", app("one"))
        site:write("more.lua", app("more"))
        site:wait_log("generation 2 is live")
        assert.equal(2, generation(site))
    end)

    it("leaves requests in flight on the generation that they started on", function()
        local site = start()
        local connection = site:connect()
        connection:send("GET /hello/slow HTTP/1.1\r\nHost: localhost\r\n\r\n")
        site:wait_status("a request in flight", function(status)
            return status.workers[1].in_flight == 1
        end)
        site:write("hello.lua", app("two"))
        wait_body(site, "/hello/", "two")
        assert.equal("two", connection.left == "" and site:get("/hello/").body)
        assert.equal("one", connection:read_response().body)
        assert.equal("two", connection:request("GET", "/hello/").body)
        connection:close()
        site:wait_status("the old generation to go", function(status)
            return status.workers[1].generations_alive == 1
        end)
    end)

    it("fails no request while files change all the time", function()
        local site = start({ options = { "--workers", "2" } })
        local last = 0
        for round = 1, 20 do
            site:write("hello.lua", app(tostring(round)))
            for _ = 1, 25 do
                local response = site:get("/hello/")
                assert.equal(200, response.status)
                local number = tonumber(response.body) or 0
                assert.is_true(number <= round)
                last = math.max(last, number)
            end
        end
        wait_body(site, "/hello/", "20")
        assert.equal(0, site:status().crashes)
    end)

    it("is not watched for with --no-reload, but taken when asked", function()
        local site = start({ options = { "--no-reload", "--workers", "1" } })
        site:write("hello.lua", app("two"))
        assert.equal(0, site:call("reload", "--wait").code)
        assert.equal("two", site:get("/hello/").body)
    end)

    it("comes with SIGHUP, together with the configuration", function()
        local site = start({ options = { "--no-reload" }, config = "return { workers = 1 }" })
        site:write("hello.lua", app("two"))
        process.write(site.dir .. "/moonloop.conf.lua", "return { workers = 2, keepalive = 7 }")
        site:signal("HUP")
        wait_body(site, "/hello/", "two")
        site:wait_status("two workers", function(status)
            local serving = 0
            for _, worker in ipairs(status.workers) do
                serving = serving + (worker.state == "serving" and 1 or 0)
            end
            return #status.workers == 2 and serving == 2
        end)
        assert.matches("replacing the workers one by one", site:log())
        assert.equal(0, site:status().crashes)
    end)

    it("keeps the configuration when the new one has an error", function()
        local site = start({ options = { "--workers", "1" }, config = "return {}" })
        process.write(site.dir .. "/moonloop.conf.lua", "return { wrokers = 2 }")
        local result = site:call("reload", "--wait")
        assert.not_equal(0, result.code)
        site:signal("HUP")
        site:wait_log("the configuration stays as it was")
        assert.equal(200, site:get("/hello/").status)
        process.write(site.dir .. "/moonloop.conf.lua",
            "while true do pcall(function() while true do end end) end")
        site:signal("HUP")
        site:wait_log("the configuration ran for longer than 5 s")
        assert.equal(200, site:get("/hello/").status)
    end)
end)

describe("code that does not load", function()
    after_each(server.clean)

    it("is refused with file and line, and the old code goes on everywhere", function()
        local site = start({ options = { "--workers", "2" } })
        site:write("hello.lua", "local x = = 1\n")
        site:wait_log("is refused")
        assert.matches("hello.lua:1: unexpected symbol near '='", site:log(), 1, true)
        for _ = 1, 10 do
            assert.equal("one", site:get("/hello/").body)
        end
        local status = site:status()
        assert.equal(1, generation(site))
        assert.equal("hello", status.failures[1].app)
        assert.matches("hello.lua:1:", status.failures[1].error, 1, true)
        assert.is_true(status.failures[1].held_back)
        assert.matches("hello.lua:1:", site:call("status").out, 1, true)
    end)

    it("is logged once, however many workers saw it", function()
        local site = start({ options = { "--workers", "3" } })
        site:write("hello.lua", "local x = = 1\n")
        site:wait_log("is refused")
        local _, count = site:log():gsub("hello.lua:1: unexpected symbol", "")
        assert.equal(1, count)
    end)

    it("is forgotten when the file is good again", function()
        local site = start()
        site:write("hello.lua", "error('no')\n")
        site:wait_log("is refused")
        site:write("hello.lua", app("one"))
        site:wait_status("no failures", function(status)
            return #status.failures == 0 and status.refused == cjson.null
        end)
        site:write("hello.lua", app("three"))
        wait_body(site, "/hello/", "three")
    end)

    it("holds back its own app only; the others move on", function()
        local site = start({ apps = { ["a.lua"] = app("a1"), ["b.lua"] = app("b1") } })
        site:write("a.lua", "error('broken')\n")
        site:wait_log("is refused")
        site:write("b.lua", app("b2"))
        wait_body(site, "/b/", "b2")
        assert.equal("a1", site:get("/a/").body)
        assert.is_true(site:status().failures[1].held_back)
        site:write("b.lua", app("b3"))
        wait_body(site, "/b/", "b3")
        assert.equal("a1", site:get("/a/").body)
        site:write("a.lua", app("a2"))
        wait_body(site, "/a/", "a2")
        assert.same({}, site:status().failures)
    end)

    it("gives a new app an error page, and the others what they had", function()
        local site = start()
        site:write("fresh.lua", "error('not yet')\n")
        process.wait_for("the error page", function()
            return site:get("/fresh/").status == 500
        end)
        assert.equal("one", site:get("/hello/").body)
        site:write("fresh.lua", app("now"))
        wait_body(site, "/fresh/", "now")
    end)

    it("makes `reload --wait` exit with 1 and print the error", function()
        local site = start({ options = { "--no-reload", "--workers", "2" } })
        site:write("hello.lua", "local x = = 1\n")
        local result = site:call("reload", "--wait")
        assert.equal(1, result.code)
        assert.matches("hello.lua:1: unexpected symbol near '='", result.err, 1, true)
        assert.matches("refused: ", result.err, 1, true)
        result = site:call("reload", "--wait", "--json")
        assert.equal(1, result.code)
        local answer = cjson.decode(result.out)
        assert.equal("refused", answer.outcome)
        assert.equal("hello", answer.failures[1].app)
        assert.equal("one", site:get("/hello/").body)
    end)

    it("cannot take a worker with it: the old code is served by the successor", function()
        local site = start({ options = { "--workers", "2" } })
        site:write("hello.lua", app("two", "require('ffi').cdef('void abort(void);') require('ffi').C.abort()\n"))
        site:wait_log("is refused: worker")
        site:wait_status("a successor", function(status)
            local first, second = unpack(status.workers) -- nothing yet where one has just died
            return second and first.state == "serving" and second.state == "serving"
        end)
        assert.equal("one", site:get("/hello/").body)
        assert.equal(1, generation(site))
        assert.matches("killed by SIGABRT", site:status().refused)
    end)

    it("can be mended when not even the first worker survived it", function()
        local site = server.spawn({
            apps = { ["hello.lua"] = "require('ffi').cdef('void abort(void);') require('ffi').C.abort()\n" },
        })
        site:wait_log("died: killed by SIGABRT")
        site:write("hello.lua", app("mended"))
        process.wait_for("the address", function()
            return site.process:out():find("http://", 1, true)
        end)
        assert.equal(2, generation(site))
    end)

    it("is not what a worker starts from", function()
        local site = start()
        site:write("hello.lua", "error('broken')\n")
        site:wait_log("is refused")
        local pid = site:worker_pids()[1]
        process.kill(pid, "KILL")
        site:wait_status("a successor", function(status)
            local worker = status.workers[1]
            return worker and worker.pid ~= pid and worker.state == "serving"
        end)
        assert.equal("one", site:get("/hello/").body)
    end)
end)

describe("a thousand reloads", function()
    after_each(server.clean)

    it("leave no memory and no descriptors behind", function()
        local socket, unistd = require("posix.sys.socket"), require("posix.unistd")
        local SOCK_SEQPACKET = socket.SOCK_SEQPACKET or 5
        local site = start({ options = { "--no-reload", "--workers", "1" } })
        local function reload(count)
            for _ = 1, count do -- what `moonloop reload --wait` says, without a process for each
                local fd = assert(socket.socket(socket.AF_UNIX, SOCK_SEQPACKET, 0))
                assert(socket.connect(fd, { family = socket.AF_UNIX, path = site.dir .. "/.moonloop/control.sock" }))
                assert(socket.send(fd, "reload wait"))
                assert.is_true(#assert(socket.recv(fd, 100)) > 0)
                unistd.close(fd)
            end
        end
        local function count_fds(pid)
            local count = 0
            for _ in require("posix.dirent").files("/proc/" .. pid .. "/fd") do
                count = count + 1
            end
            return count
        end
        local function resident(pid)
            return tonumber(process.read("/proc/" .. pid .. "/statm"):match("^%d+ (%d+)")) * 4096
        end
        local master, worker = site:pid(), site:worker_pids()[1]
        reload(100)
        local before = { count_fds(master), count_fds(worker), resident(master), resident(worker) }
        local rounds = server.is_sanitized and 200 or 900 -- a sanitizer sees a leak of the first one
        reload(rounds)
        assert.equal(101 + rounds, generation(site))
        assert.equal(1, site:status().workers[1].generations_alive)
        -- The connection of the last command may still be closing, before as well as now.
        process.wait_for("no more descriptors than before", function()
            return count_fds(master) <= before[1] and count_fds(worker) <= before[2]
        end)
        if not server.is_sanitized then
            assert.is_true(resident(master) < before[3] + 1e6)
            assert.is_true(resident(worker) < before[4] + 2e6)
        end
        assert.equal(worker, site:worker_pids()[1])
    end)
end)
