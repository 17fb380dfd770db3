--- moonloop.shared and moonloop.lock in a server with several workers.

local cjson = require("cjson")
local process = require("spec.support.process")
local server = require("spec.support.server")
local stat = require("posix.sys.stat")

local APP = [[
local moonloop = require("moonloop")
local shared = require("moonloop.shared")
local app = moonloop.app()
local dict = moonloop.shared("spec")

local function pid()
    return tonumber(io.open("/proc/self/stat"):read("*l"):match("^%d+"))
end

app:get("/incr", function()
    return { n = dict:incr("n"), m = dict:update("m", function(m) return (m or 0) + 1 end), pid = pid() }
end)
app:get("/pid", function() return { pid = pid() } end)
app:get("/path", function() return shared.path() end)
app:get("/set/{key}", function(req) dict:set(req.params.key, { key = req.params.key, pid = pid() }) return "done" end)
app:get("/get/{key}", function(req) return { value = dict:get(req.params.key), pid = pid() } end)
app:get("/keys", function() return { keys = dict:keys() } end)
app:get("/thread", { run = "thread" }, function() return { n = dict:incr("n") } end)
app:get("/hold", function()
    moonloop.lock("spec", { ttl = 600 }):acquire()
    return { pid = pid() }
end)
app:get("/take", function()
    local lock = moonloop.lock("spec")
    moonloop.timeout(8, lock.acquire, lock)
    return { pid = pid(), was_held = lock:release() }
end)
return app
]]

describe("the shared dictionary of a server", function()
    after_each(server.clean)

    local function start(options, given)
        given = given or {}
        given.apps = { ["index.lua"] = APP }
        given.options = options or { "--workers", "2" }
        return server.start(given)
    end

    local function get(site, path)
        return cjson.decode(site:get(path).body)
    end

    --- Asks until another worker than `pid` answers.
    local function ask_other(site, path, pid)
        return process.wait_for("another worker", function()
            local answer = get(site, path)
            return answer.pid ~= pid and answer
        end)
    end

    it("is the same in all workers and threads", function()
        local site = start()
        local first = get(site, "/incr")
        assert.same({ 1, 1 }, { first.n, first.m })
        local second = ask_other(site, "/incr", first.pid)
        assert.equal(second.n, second.m)
        assert.is_true(second.n > 1)
        assert.equal(second.n + 1, get(site, "/thread").n)
        site:get("/set/a")
        local setter = get(site, "/get/a").value.pid
        assert.equal("a", ask_other(site, "/get/a", setter).value.key)
    end)

    it("survives a reload and the death of workers, and nothing that was answered is lost", function()
        local site = start()
        local counted = 0
        for round = 1, 4 do
            for _ = 1, 50 do
                local connection = site:connect()
                local answer = connection:request("GET", "/incr")
                connection:close()
                if answer and answer.status == 200 then
                    counted = counted + 1
                end
            end
            if round == 2 then
                site:write("index.lua", APP .. "\n")
                site:wait_log("generation 2 is live")
            end
            local pid = process.wait_for("a worker", function()
                local ok, answer = pcall(get, site, "/pid")
                return ok and answer.pid
            end)
            process.kill(pid, "KILL")
        end
        local last = process.wait_for("a worker", function()
            local ok, answer = pcall(get, site, "/incr")
            return ok and answer
        end)
        assert.is_true(counted > 150, counted)
        assert.is_true(last.n > counted, last.n)
        assert.is_true(last.m > counted, last.m)
    end)

    it("lies in memory, in a directory that is gone after the stop", function()
        local site = start()
        local path = site:get("/path").body
        assert.matches("/moonloop%-shared%-" .. site:pid() .. "%-", path)
        assert.equal(tonumber("700", 8), stat.stat(path).st_mode % 512)
        site:get("/incr")
        site.process:kill("TERM")
        site.process:wait()
        assert.is_nil(stat.stat(path))
    end)

    it("is empty after a restart without shared_path, and kept with it", function()
        local site = start()
        site:get("/set/a")
        site:stop()
        site = start(nil, { dir = site.dir })
        assert.same({}, get(site, "/keys").keys)
        site:stop()
        for round = 1, 2 do
            site = start({ "--workers", "2", "--shared-path", "data" }, { dir = site.dir })
            assert.equal(round, get(site, "/incr").n)
            site:stop()
        end
        assert.is_table(stat.stat(site.dir .. "/data/data.mdb"))
    end)

    it("can be shared by two servers", function()
        local one = start({ "--workers", "1", "--shared-path", "data" })
        local two = start({ "--workers", "1", "--shared-path", one.dir .. "/data" })
        assert.equal(1, get(one, "/incr").n)
        assert.equal(2, get(two, "/incr").n)
        assert.equal(3, get(one, "/incr").n)
    end)

    it("waits for the disk when it is told to", function()
        local site = start({ "--workers", "2", "--shared-path", "data", "--shared-sync" })
        for i = 1, 10 do
            assert.equal(i, get(site, "/incr").n)
        end
        site:stop()
        site = start({ "--workers", "1", "--shared-path", "data" }, { dir = site.dir })
        assert.equal(11, get(site, "/incr").n)
        site:stop()
        site = start({ "--workers", "1", "--shared-path", "data", "--shared-sync" }, { dir = site.dir })
        assert.equal(12, get(site, "/incr").n)
    end)

    it("refuses to start on a directory that is no good", function()
        local function refusal(path, bytes)
            local dir = process.directory()
            process.write(dir .. "/" .. path, bytes)
            local site = server.spawn({ dir = dir, apps = { ["index.lua"] = APP },
                options = { "--workers", "1", "--shared-path", dir .. "/data" } })
            local _, code = site.process:wait()
            assert.equal(1, code)
            assert.equal("", site.process:out())
            return site.process:err()
        end
        assert.matches("moonloop: shared_path: .*/data: Not a directory", refusal("data", "x"))
        assert.matches("data.mdb cannot be opened: MDB_INVALID", refusal("data/data.mdb", ("x"):rep(100000)))
        assert.matches("state is not a file of this version", refusal("data/state", ("x"):rep(100000)))
    end)

    it("refuses to start on one that would crash it", function()
        local site = start({ "--workers", "1", "--shared-path", "data", "--shared-size", "1M" })
        for i = 1, 100 do
            site:get("/set/key" .. i)
        end
        site:stop()
        local path = site.dir .. "/data/data.mdb"
        local bytes = process.read(path)
        local page = 4096
        process.write(path, bytes:sub(1, 2 * page) .. ("\255"):rep(#bytes - 2 * page))
        local again = server.spawn({
            dir = site.dir, options = { "--workers", "1", "--shared-path", "data", "--shared-size", "1M" },
        })
        local _, code = again.process:wait()
        assert.equal(1, code)
        assert.matches("shared", again.process:err())
    end)

    it("frees a lock when the worker that has it dies", function()
        local site = start()
        local pid = get(site, "/hold").pid
        process.kill(pid, "KILL")
        local answer = process.wait_for("the lock", function()
            local ok, taken = pcall(get, site, "/take")
            return ok and taken
        end)
        assert.is_true(answer.was_held)
    end)
end)
