local probes = require("spec.support.probe")
local process = require("spec.support.process")
local server = require("spec.support.server")
local upgrades = require("spec.support.upgrades")

local APP = [[
local moonloop = require("moonloop")
local app = moonloop.app()
app:get("/", function() return "hello\n" end)
app:get("/slow", function() moonloop.sleep(1) return "slow\n" end)
app:get("/hear/{topic}", function(req)
    local messages = moonloop.topic(req.params.topic):subscribe()
    assert(io.open("listens", "w")):close()
    for message in messages do return message end
end)
app:get("/relay", function()
    for message in moonloop.topic("go"):subscribe() do
        moonloop.topic("told"):publish(message .. " and back")
        return message
    end
end)
app:get("/say", function() moonloop.topic("go"):publish("there") return "said" end)
app:get("/count", function() return tostring(moonloop.shared("spec"):incr("count")) end)
return app
]]

local function count_fds(pid)
    return #require("posix.dirent").dir("/proc/" .. pid .. "/fd")
end

local install, upgrade = upgrades.install, upgrades.run

local function start(given)
    given = given or {}
    given.apps = given.apps or { ["hello.lua"] = APP }
    return upgrades.start(given)
end

describe("an upgrade of the binary", function()
    after_each(server.clean)

    it("goes on in the same process, with new workers, on the same sockets, with the shared dictionary", function()
        local site = start({ options = { "--workers", "2" } })
        local old = site:worker_pids()
        assert.equal("1", site:get("/hello/count").body)
        install(site.dir .. "/moonloop")
        upgrade(site, 1)
        assert.equal("2", site:get("/hello/count").body)
        local new = site:worker_pids()
        assert.equal(2, #new)
        for _, pid in ipairs(new) do
            assert.not_equal(old[1], pid)
            assert.not_equal(old[2], pid)
        end
        assert.is_true(process.exists(site:pid()))
        assert.equal(2, site:status().generation)
        local exe = require("posix.unistd").readlink("/proc/" .. site:pid() .. "/exe")
        assert.equal(site.dir .. "/moonloop", exe) -- not "(deleted)": the new file
    end)

    it("finishes what is under way", function()
        local site = start()
        local connection = site:connect()
        connection:send("GET /hello/slow HTTP/1.1\r\nHost: a\r\n\r\n")
        site:wait_status("a request in flight", function(status)
            return status.workers[1].in_flight == 1
        end)
        upgrade(site, 1)
        assert.equal("slow\n", connection:read_response().body)
    end)

    it("loses no request under load, many times over, and no descriptor", function()
        local site = start({ options = { "--workers", "2" } })
        local fds
        local probe = probes.start(site, "/hello/", "hello\n")
        for times = 1, server.rounds(10) do
            probe:wait_requests(40)
            upgrade(site, times)
            fds = fds or count_fds(site:pid())
        end
        assert.is_true(count_fds(site:pid()) <= fds + 2) -- of the moment: a client of the control socket
        local result = probe:stop()
        assert.same({}, result.failures)
        assert.is_true(result.requests > 100 and result.fresh > 10)
    end)

    it("lets topics pass between the former workers, which finish requests, and the new ones, twice over", function()
        local site = start({ options = { "--workers", "2" } })
        local function ask(target)
            local connection = site:connect()
            connection:send("GET " .. target .. " HTTP/1.1\r\nHost: a\r\n\r\n")
            return connection
        end
        local relay = ask("/hello/relay")
        site:wait_status("the relay", function(status)
            return status.workers[1].in_flight + status.workers[2].in_flight == 1
        end)
        for times = 1, 2 do -- the second has former workers of a program before the last
            site:signal("USR2")
            upgrades.wait_count(site, "the upgrade is done", times)
        end
        local ear = ask("/hello/hear/told")
        process.wait_for("the ear", function() return process.read(site.dir .. "/listens") end) -- in whichever worker
        assert.equal("said", site:get("/hello/say").body)
        assert.equal("there", relay:read_response().body)
        assert.equal("there and back", ear:read_response().body)
        assert.not_matches("topics do not pass", site:log())
    end)

    it("keeps the number of workers that was asked for while it ran", function()
        local site = start()
        assert.equal(0, site:call("scale", "3").code)
        upgrade(site, 1)
        assert.equal(3, #site:worker_pids())
    end)

    it("serves Unix sockets and ends as before: nothing is left behind", function()
        local site = start({ options = { "--workers", "1", "--bind", "unix:spec.sock", "--pidfile", "spec.pid" } })
        upgrade(site, 1)
        local answer = process.run({ "curl", "-s", "--unix-socket", site.dir .. "/spec.sock", "http://a/hello/" })
        assert.equal("hello\n", answer.out)
        assert.equal(site:pid(), tonumber(process.read(site.dir .. "/spec.pid")))
        assert.same({ "exited", 0 }, { site:stop() })
        assert.is_nil(process.read(site.dir .. "/spec.pid"))
        assert.is_nil(require("posix.sys.stat").stat(site.dir .. "/spec.sock"))
    end)

    it("reads its words where the server was started, whatever its working directory is since", function()
        local dir = process.directory()
        process.make_directory(dir .. "/inner")
        process.write(dir .. "/own.conf.lua", "return { workers = 1 }")
        local site = start({ dir = dir, options = { "--config", "own.conf.lua", "--chdir", "inner" } })
        for times = 1, 2 do
            assert.equal(0, site:call("upgrade").code)
            process.wait_for("upgrade " .. times, function()
                return select(2, site:log():gsub("the upgrade is done", "")) >= times
            end, 30)
        end
        assert.equal(dir .. "/inner", require("posix.unistd").readlink("/proc/" .. site:pid() .. "/cwd"))
    end)

    it("lets callers of the control socket wait until the new program can answer", function()
        local site = start()
        for _ = 1, 5 do
            process.wait_for("an upgrade that begins", function()
                return site:call("upgrade").code == 0
            end, 10)
            local answer = site:call("status")
            assert.equal("", answer.err)
            assert.equal(0, answer.code)
        end
        assert.same({ "exited", 0 }, { site:stop() })
        assert.is_nil(require("posix.sys.stat").stat(site.dir .. "/.moonloop/control.sock"))
    end)

    it("is answered for itself when another one is under way", function()
        -- The proof has to be under way still when the second comes: it waits for a file.
        local app = [[
            if io.open("/proc/self/cmdline"):read("*a"):find("--prove-upgrade", 1, true) then
                while not io.open("go") do
                    os.execute("sleep 0.05")
                end
            end
        ]] .. APP
        local site = start({ apps = { ["hello.lua"] = app } })
        local first = process.spawn({ server.binary, "upgrade", "--apps", site.apps_dir },
            { cwd = site.dir, env = site.env })
        site:wait_log("shows whether it can")
        local second = site:call("upgrade")
        assert.same({ 1, "the upgrade was refused: another one is under way already\n" }, { second.code, second.err })
        process.write(site.dir .. "/go", "")
        local how, code = first:wait(30)
        assert.same({ "exited", 0 }, { how, code })
        assert.matches("goes on as the new program", first:out(), 1, true)
        site:wait_log("the upgrade is done")
    end)

    it("is over when the server stops, with whatever the proof has started", function()
        local app = [[
            if io.open("/proc/self/cmdline"):read("*a"):find("--prove-upgrade", 1, true) then
                os.execute("echo $$ > proof.pid; exec sleep 60")
            end
        ]] .. APP
        local site = start({ apps = { ["hello.lua"] = app } })
        local caller = process.spawn({ server.binary, "upgrade", "--apps", site.apps_dir },
            { cwd = site.dir, env = site.env })
        process.wait_for("the proof to run", function()
            return (process.read(site.dir .. "/proof.pid") or ""):find("\n")
        end)
        assert.same({ "exited", 0 }, { site:stop() })
        local how, code = caller:wait(10)
        assert.same({ "exited", 1 }, { how, code })
        assert.equal("the server is stopping\n", caller:err())
        local program = tonumber(process.read(site.dir .. "/proof.pid"))
        process.wait_for("what the proof had started to end", function()
            local stat = process.read("/proc/" .. program .. "/stat")
            return not stat or stat:match("%) (%u)") == "Z"
        end)
    end)

    it("does not wait for what an app has left running in the proof", function()
        local app = [[
            if io.open("/proc/self/cmdline"):read("*a"):find("--prove-upgrade", 1, true) then
                os.execute("sleep 30 &")
            end
        ]] .. APP
        local site = start({ apps = { ["hello.lua"] = app } })
        assert.equal(0, site:call("upgrade").code)
        site:wait_log("the upgrade is done")
    end)

    it("loads the apps, for the proof, as a worker does: as its user, in its sandbox", function()
        if require("posix.unistd").getuid() ~= 0 then
            pending("needs root, to become another user")
            return
        end
        local dir = process.directory()
        process.write(dir .. "/who", "")
        assert(require("posix.sys.stat").chmod(dir, 493))
        assert(require("posix.sys.stat").chmod(dir .. "/who", 438))
        local app = ([[
            local status = io.open("/proc/self/status"):read("*a")
            if io.open("/proc/self/cmdline"):read("*a"):find("--prove-upgrade", 1, true) then
                local file = io.open("%s/who", "w")
                file:write(status:match("\nUid:%%s+(%%d+)"), " ", status:match("\nSeccomp:%%s+(%%d)"), " ",
                    tostring(os.getenv("NOTIFY_SOCKET")))
                file:close()
            end
        ]]):format(dir) .. APP
        local site = start({
            dir = dir, apps = { ["hello.lua"] = app }, options = { "--workers", "1", "--user", "nobody" },
            env = { NOTIFY_SOCKET = "@moonloop-spec-nobody-listens" },
        })
        upgrade(site, 1)
        local nobody = require("posix.pwd").getpwnam("nobody")
        assert.equal(nobody.pw_uid .. " 2 nil", process.read(dir .. "/who"))
    end)

    it("needs no room on the disk for the pid file that is there", function()
        local dir = process.directory()
        local site = start({ dir = dir, options = { "--workers", "1", "--pidfile", "spec.pid" } })
        process.make_directory(dir .. "/spec.pid." .. site:pid()) -- where a new one would be written first
        upgrade(site, 1)
        assert.equal(site:pid(), tonumber(process.read(dir .. "/spec.pid")))
    end)

    describe("that cannot be", function()
        local function refused(site, pattern)
            local answer = site:call("upgrade")
            assert.equal(1, answer.code)
            assert.matches(pattern, answer.out .. answer.err)
            assert.equal("hello\n", site:get("/hello/").body)
            assert.equal(1, site:status().generation)
        end

        it("changes nothing when an app fails, and says where", function()
            local site = start({ options = { "--workers", "1", "--no-reload" } })
            site:write("hello.lua", "return 1 +")
            refused(site, "hello%.lua:1: unexpected symbol")
        end)

        it("changes nothing when the configuration is wrong", function()
            local site = start()
            process.write(site.dir .. "/moonloop.conf.lua", "return { wrokers = 3 }")
            site:signal("USR2")
            site:wait_log("the upgrade was refused, the server goes on as it was")
            assert.matches('unknown option "wrokers"', site:log(), 1, true)
            assert.equal("hello\n", site:get("/hello/").body)
        end)

        it("changes nothing when the new configuration names what the server could not start with", function()
            local site = start()
            process.write(site.dir .. "/other.pid", tostring(require("posix.unistd").getpid()))
            for option, pattern in pairs({
                ['user = "nobody-of-this-name"'] = "user: there is no user",
                ['errorlog = "/nowhere/log"'] = "errorlog: cannot open /nowhere/log: No such file",
                ['accesslog = "/nowhere/log"'] = "accesslog: cannot open /nowhere/log: No such file",
                ['shared_path = "/nowhere/shared"'] = "shared_path: /nowhere/shared: No such file",
                ['pidfile = "/nowhere/pid"'] = "pidfile: cannot write /nowhere/pid: No such file",
                ['pidfile = "other.pid"'] = "pidfile: .*other%.pid belongs to a running process",
                ['chdir = "/nowhere"'] = "chdir: /nowhere: No such file",
            }) do
                process.write(site.dir .. "/moonloop.conf.lua", "return { " .. option .. " }")
                refused(site, pattern)
            end
        end)

        it("changes nothing when the binary is gone, no program, or another one", function()
            local site = start()
            os.remove(site.dir .. "/moonloop")
            refused(site, "cannot execute .*No such file")
            install(site.dir .. "/moonloop", "garbage\n")
            refused(site, "/moonloop")
            install(site.dir .. "/moonloop", process.read("/bin/true"))
            refused(site, "ended without a word")
            install(site.dir .. "/moonloop")
            assert.equal(0, site:call("upgrade").code)
            site:wait_log("the upgrade is done")
            assert.equal("hello\n", site:get("/hello/").body)
        end)

        it("goes on trying beside the former workers when the new ones cannot boot after all", function()
            local site = start({ apps = { ["hello.lua"] = [[
                local ffi = require("ffi")
                ffi.cdef("void _exit(int);")
                local words = io.open("/proc/self/cmdline"):read("*a")
                if io.open("flag") and not words:find("--prove-upgrade", 1, true) then
                    ffi.C._exit(9)
                end
            ]] .. APP } })
            local former = site:worker_pids()
            process.write(site.dir .. "/flag", "")
            assert.equal(0, site:call("upgrade").code)
            site:wait_log("died: exit code 9")
            assert.equal("hello\n", site:get("/hello/").body)
            assert.is_true(process.exists(former[1]))
            os.remove(site.dir .. "/flag")
            site:wait_log("the upgrade is done")
            assert.equal("hello\n", site:get("/hello/").body)
        end)
    end)
end)
