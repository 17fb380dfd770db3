--- moonloop.shared and moonloop.lock between processes: scripts that `moonloop run` runs on one directory.

local moonloop = require("moonloop")
local process = require("spec.support.process")
local server = require("spec.support.server")
local stat = require("posix.sys.stat")
local unistd = require("posix.unistd")

local ROOT = debug.getinfo(1, "S").source:match("^@(.*)spec/shared/processes_spec%.lua$")

local PRELUDE = 'local moonloop = require("moonloop") local shared = require("moonloop.shared") '
    .. 'local dict = moonloop.shared("spec") '

describe("the shared dictionary of several processes", function()
    local dir

    before_each(function()
        dir = process.directory()
    end)

    after_each(process.clean)

    local function spawn(script, env)
        local path = process.directory() .. "/script.lua"
        process.write(path, PRELUDE .. script)
        local all = { MOONLOOP_SHARED_PATH = dir .. "/shared" }
        for name, value in pairs(env or {}) do
            all[name] = value
        end
        return process.spawn({ server.binary, "run", path }, { env = all })
    end

    --- What the script prints, without the last line feed.
    local function run(script, env)
        local child = spawn(script, env)
        child:wait(60)
        assert.equal("", child:err())
        assert.equal(0, child.code)
        return (child:out():gsub("\n$", ""))
    end

    it("loses and tears nothing when writers are killed, a thousand of them", function()
        local kills = server.is_sanitized and 100 or 1000
        local child = process.spawn({ server.binary, "run", ROOT .. "spec/shared/killed_writers.lua", tostring(kills) },
            { env = { MOONLOOP_SHARED_PATH = dir .. "/shared" } })
        child:wait(120)
        local hits, _, recovered = child:out():match("^ok (%d+) (%d+) (%d+)\n$")
        assert.is_string(hits, child:out() .. child:err())
        assert.is_true(tonumber(hits) > kills)
        assert.is_true(tonumber(recovered) > 0, "nobody was killed in the middle of a write")
    end)

    it("is there for the next one, counters and their time too", function()
        assert.equal("3", run('dict:set("a", { 1, { b = 2 } }) dict:incr("n", 2) print(dict:incr("n"))'
            .. ' dict:incr("brief", 1, 1000) dict:set("gone", 1, 0.001)'))
        assert.equal("2 4 2 true nil", run('print(dict:get("a")[2].b, dict:incr("n"), dict:incr("brief"),'
            .. ' dict:ttl("brief") < 1001, dict:get("gone"))'):gsub("\t", " "))
    end)

    it("keeps numbers when the file of the counters is lost", function()
        run('dict:incr("n", 5) dict:set("a", "b")')
        unistd.unlink(dir .. "/shared/state")
        assert.equal("6 b", (run('print(dict:incr("n"), dict:get("a"))'):gsub("\t", " ")))
    end)

    it("counts exactly from two at once", function()
        local script = 'for i = 1, 20000 do dict:incr("n") if i % 100 == 0 then dict:update("m", function(m)'
            .. " return (m or 0) + 1 end) end end"
        local first, second = spawn(script), spawn(script)
        first:wait(30)
        second:wait(30)
        assert.equal("40000 400", (run('print(dict:get("n"), dict:get("m"))'):gsub("\t", " ")))
    end)

    describe("when it is full", function()
        local SMALL = { MOONLOOP_SHARED_SIZE = "1M" }

        it("forgets what was written longest ago, and stays within its size", function()
            assert.equal("ok", run([[
                for i = 1, 5000 do
                    dict:set("k" .. i, ("x"):rep(1000))
                    local stats = shared.stats()
                    assert(stats.used_bytes <= stats.limit_bytes, i)
                end
                local stats = shared.stats()
                assert(stats.limit_bytes == 1048576 and stats.evicted == 5000 - stats.entries)
                assert(stats.used_bytes > stats.limit_bytes / 3, stats.used_bytes)
                for i = 4990, 5000 do
                    assert(dict:get("k" .. i), i)
                end
                local young = 0
                for _, key in ipairs(dict:keys()) do
                    young = young + (tonumber(key:match("%d+")) > 3000 and 1 or 0)
                end
                assert(young > 0.75 * stats.entries, young)
                print("ok")
            ]], SMALL))
        end)

        it("lets go of what has expired first", function()
            assert.equal("ok", run([[
                for i = 1, 300 do dict:set("brief" .. i, ("x"):rep(1000), 0.01) end
                for i = 1, 400 do dict:set("k" .. i, ("x"):rep(1000)) end
                moonloop.sleep(0.03)
                for i = 401, 600 do dict:set("k" .. i, ("x"):rep(1000)) end
                assert(#dict:keys("k") == 600, #dict:keys("k"))
                print("ok", shared.stats().evicted)
            ]], SMALL):match("^ok"))
        end)

        it("spares counters that are in use, and what must not be evicted", function()
            assert.equal("ok", run([[
                local kept = moonloop.shared("kept", { evict = false })
                for i = 1, 20 do kept:set(i, ("x"):rep(1000)) end
                local lock = moonloop.lock("kept")
                lock:acquire()
                dict:incr("hits")
                for i = 1, 10000 do
                    dict:set("k" .. i, ("x"):rep(1000))
                    if i % 10 == 0 then assert(dict:incr("hits") == i / 10 + 1, i) end
                end
                assert(#kept:keys() == 20 and lock:release())
                print("ok")
            ]], SMALL))
        end)

        it("says so when nothing may go, and takes more when there is room again", function()
            assert.equal("ok", run([[
                local kept = moonloop.shared("kept", { evict = false })
                local n = 0
                local ok, err = pcall(function()
                    while true do kept:set(n + 1, ("x"):rep(1000)) n = n + 1 end
                end)
                assert(not ok and err.code == "full" and shared.is_full(err), err)
                assert(err.message:find("shared_size"), err.message)
                assert(n > 500 and #kept:keys() == n, n)
                assert(not pcall(dict.set, dict, "a", ("x"):rep(10000)))
                assert(not pcall(kept.incr, kept, "n", 1) or kept:delete("n"))
                kept:delete(1) kept:delete(2)
                kept:set("more", ("x"):rep(1000))
                for i = 3, n do assert(#kept:get(i) == 1000) end
                print("ok")
            ]], SMALL))
        end)

        it("goes on with what there is when the file system is full", function()
            local script = process.directory() .. "/script.lua"
            process.write(script, PRELUDE .. [[
                for i = 1, 5000 do
                    dict:set("k" .. i % 3000, ("x"):rep(i % 2500))
                    dict:incr("n" .. i)
                    if i % 50 == 0 then dict:delete("k" .. i % 3000) end
                end
                assert(#dict:get("k1999") == 2499 and dict:incr("n5000") == 2)
                local stats = shared.stats()
                assert(stats.evicted > 0 and stats.entries > 20, stats.entries)
                dict:clear()
                dict:set("a", 1)
                print("ok")
            ]])
            -- A mount that ends with the process that sees it.
            local mount = 'mount -t tmpfs -o size=3m tmpfs "$1" || exit 77; exec "$2" run "$3"'
            local words = { "unshare", "-m", "sh", "-c", mount, "sh", dir, server.binary, script }
            local child = process.spawn(words, { env = { MOONLOOP_SHARED_PATH = dir .. "/shared" } })
            local _, code = child:wait(60)
            if code == 77 or code == 1 and child:err():find("unshare") then
                return pending("only root may mount")
            end
            assert.equal("ok\n", child:out() .. child:err())
        end)

        it("takes values up to a quarter of its size, again and again", function()
            assert.equal("ok", run([[
                for i = 1, 50 do
                    dict:set("large" .. i % 7, ("x"):rep(250000))
                    dict:set("small" .. i, ("y"):rep(i))
                    assert(#dict:get("large" .. i % 7) == 250000)
                end
                local ok, err = pcall(dict.set, dict, "larger", ("x"):rep(262144))
                assert(not ok and err.code == "too_large", err)
                print("ok")
            ]], SMALL))
        end)
    end)

    describe("a place that is no good", function()
        local function fails(env, path, bytes)
            if path then
                process.write(path, bytes)
            end
            local child = spawn('dict:get("a")', env)
            child:wait()
            assert.equal(1, child.code)
            return child:err()
        end

        it("is told with the reason", function()
            assert.matches("shared_path: .*/file: Not a directory",
                fails({ MOONLOOP_SHARED_PATH = dir .. "/file" }, dir .. "/file", "x"))
            assert.matches("shared_path: .*/none/none: No such file or directory",
                fails({ MOONLOOP_SHARED_PATH = dir .. "/none/none" }))
            assert.matches("MOONLOOP_SHARED_SIZE: expected bytes: .*from 1048576",
                fails({ MOONLOOP_SHARED_SIZE = "10K" }))
            assert.matches("data.mdb cannot be opened: MDB_INVALID",
                fails(nil, dir .. "/shared/data.mdb", ("garbage"):rep(10000)))
            unistd.unlink(dir .. "/shared/state")
            assert.matches("state is not a file of this version of moonloop",
                fails(nil, dir .. "/shared/state", ("garbage"):rep(10000)))
        end)

        it("is told when the file was cut off", function()
            run('for i = 1, 500 do dict:set("k" .. i, ("x"):rep(1000)) end', { MOONLOOP_SHARED_SIZE = "1M" })
            local bytes = process.read(dir .. "/shared/data.mdb")
            assert.matches("data.mdb is damaged: it has been cut off",
                fails(nil, dir .. "/shared/data.mdb", bytes:sub(1, 100000)))
        end)
    end)

    describe("a lock", function()
        it("is free when its owner was killed", function()
            local owner = spawn('moonloop.lock("spec", { ttl = 3600 }):acquire() print("has it") moonloop.sleep(60)')
            process.wait_for("the owner", function()
                io.stdout:flush()
                return run('local holder = moonloop.lock("spec"):holder() print(holder and holder.pid)')
                    == tostring(owner.pid)
            end)
            assert.equal("false", run('print(moonloop.lock("spec"):try_acquire())'))
            local waiter = spawn('local lock = moonloop.lock("spec") lock:acquire() print(lock.token > 0)')
            owner:kill("KILL")
            waiter:wait()
            assert.equal("true\n", waiter:out())
        end)

        it("is had by one of several processes at a time, and each gets it", function()
            local script = [[
                local lock = moonloop.lock("spec")
                for _ = 1, 50 do
                    lock:with(function()
                        local n = dict:get("n", 0)
                        if not dict:add("inside", true) then error("two at once") end
                        dict:set("n", n + 1)
                        dict:delete("inside")
                    end)
                end
            ]]
            local children = {}
            for i = 1, 3 do
                children[i] = spawn(script)
            end
            for i = 1, 3 do
                children[i]:wait(30)
                assert.equal("", children[i]:err())
            end
            assert.equal("150", run('print(dict:get("n"))'))
        end)
    end)

    describe("a directory of a process's own", function()
        local function path_of(child)
            return process.wait_for("the path", function()
                return child:out():match("^([^\n]+)\n")
            end)
        end

        local OWN = { MOONLOOP_SHARED_PATH = false }

        it("is private, and gone with the process", function()
            local path = run('print(shared.path()) dict:set("a", 1)', OWN)
            assert.matches("moonloop%-shared%-", path)
            assert.is_nil(stat.stat(path))
            path = run('print(shared.path()) dict:set("a", 1) io.stdout:flush() os.exit(0)', OWN)
            assert.is_nil(stat.stat(path))
        end)

        it("has mode 0700 and is removed by the next process when its own was killed", function()
            local script = 'dict:set("a", 1) print(shared.path()) io.stdout:flush() moonloop.sleep(60)'
            local child, living = spawn(script, OWN), spawn(script, OWN)
            local path, living_path = path_of(child), path_of(living)
            assert.equal(tonumber("700", 8), stat.stat(path).st_mode % 512)
            child:kill("KILL")
            child:wait()
            run("shared.path()", OWN) -- or any other moonloop of this machine that begins meanwhile
            assert.is_nil(stat.stat(path))
            assert.is_table(stat.stat(living_path))
        end)

        it("is shared with a process that is told so", function()
            local child = spawn('dict:set("a", 1) print(shared.path()) io.stdout:flush() moonloop.sleep(60)', OWN)
            local env = { MOONLOOP_SHARED_PATH = false, MOONLOOP_INTERNAL_SHARED = path_of(child) }
            assert.equal("1", run('print(dict:get("a"))', env))
            assert.equal("2", run('print(dict:incr("a"))', env))
            assert.is_table(stat.stat(path_of(child)))
        end)
    end)

    it("answers while a process is stopped in the middle of a write, with an error after a while", function()
        local child = spawn('dict:set("a", 1) print("begun") io.stdout:flush() while true do dict:set("a", 1) end')
        process.wait_for("the writer", function() return child:out() ~= "" end)
        local is_stopped_inside = false
        for _ = 1, 200 do
            child:kill("STOP")
            process.wait_for("the stop", function()
                return (process.read("/proc/" .. child.pid .. "/stat") or ""):match("%) T ")
            end)
            local probe = spawn([[
                local before = moonloop.now()
                local ok, err = pcall(dict.set, dict, "b", 1)
                print(dict:get("a"), ok, not ok and err.code, moonloop.now() - before < 20)
            ]])
            probe:wait(30)
            if probe:out():match("^1\tfalse\ttimeout\ttrue\n") then
                is_stopped_inside = true
                break
            end
            assert.equal("1\ttrue\tfalse\ttrue\n", probe:out())
            child:kill("CONT")
            moonloop.sleep(0.001)
        end
        assert.is_true(is_stopped_inside)
        child:kill("KILL")
        child:wait()
        assert.equal("nil", run('dict:set("a", 2) print(dict:get("none"))'))
    end)
end)
