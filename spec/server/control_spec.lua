local cjson = require("cjson")
local process = require("spec.support.process")
local server = require("spec.support.server")

local APP = [[
local moonloop = require("moonloop")
local app = moonloop.app()
app:get("/", function() return "hello\n" end)
app:get("/long", function() moonloop.sleep(60) end)
return app
]]

local function start(given)
    given = given or {}
    given.apps = { ["hello.lua"] = APP }
    return server.start(given)
end

describe("a running server", function()
    after_each(server.clean)

    it("tells its state to people", function()
        local site = start({ options = { "--workers", "2" } })
        local result = site:call("status")
        assert.equal(0, result.code)
        assert.matches("pid " .. site:pid(), result.out, 1, true)
        assert.matches("listens   " .. site.url, result.out, 1, true)
        assert.matches("\n%s+2%s+%d+  serving", result.out)
    end)

    it("fails when what it tells cannot be written", function()
        local site = start()
        local result = process.run({ "sh", "-c", server.binary .. " status >/dev/full" }, { cwd = site.dir,
            env = { MOONLOOP_APPS = site.apps_dir } })
        assert.equal(1, result.code)
        assert.equal("moonloop: cannot write standard output: No space left on device\n", result.err)
    end)

    it("tells its state to programs", function()
        local site = start({ options = { "--workers", "2" } })
        site:get("/hello/")
        site:get("/hello/nowhere")
        local status = site:wait_status("two requests", function(status)
            return status.workers[1].requests + status.workers[2].requests == 2
        end)
        assert.equal(site:pid(), status.pid)
        assert.same({ site.url }, status.urls)
        assert.equal(site.apps_dir, status.apps_dir)
        assert.equal(1, status.generation)
        assert.same({ { app = "hello", ok = true } }, status.apps)
        assert.equal(cjson.null, status.refused)
        assert.equal(0, status.log_lines_lost)
        for _, worker in ipairs(status.workers) do
            assert.equal("serving", worker.state)
            assert.equal(1, worker.generations_alive)
        end
        site:wait_status("a first beat", function(later)
            return later.workers[1].memory > 1e6 and later.workers[2].memory > 1e6
                and later.workers[1].lua_memory > 1e5
        end)
    end)

    it("shows which routes run and wait", function()
        local site = start()
        local connection = site:connect()
        connection:send("GET /hello/long HTTP/1.1\r\nHost: localhost\r\n\r\n")
        process.wait_for("the route in ps", function()
            return site:call("ps").out:find("GET /hello/long (waiting)", 1, true)
        end)
        assert.equal("GET /hello/long (waiting)", cjson.decode(site:call("ps", "--json").out)[1].doing)
        connection:close()
    end)

    it("lists its routes", function()
        local site = start()
        local result = site:call("routes", "--running")
        assert.matches("GET%s+/hello/%s+%S*hello.lua:3", result.out)
        local routes = cjson.decode(site:call("routes", "--running", "--json").out)
        assert.equal("/hello/", routes[1].pattern)
        assert.equal("hello", routes[1].app)
    end)

    it("stops when asked, and the command returns when it has stopped", function()
        local site = start()
        local result = site:call("stop")
        assert.same({ 0, "stopped\n" }, { result.code, result.out })
        assert.same({ "exited", 0 }, { site.process:wait(1) })
        assert.is_nil(require("posix.unistd").access(site.dir .. "/.moonloop/control.sock"))
    end)

    it("is missed in one line when it is not there", function()
        local site = start()
        site:stop()
        for _, command in ipairs({ "status", "ps", "stop", "reload" }) do
            local result = site:call(command)
            assert.equal(1, result.code)
            assert.matches("^moonloop: no server answers at [^\n]+\n$", result.err)
        end
    end)

    it("takes the place of one that was killed", function()
        local first = start()
        first:signal("KILL")
        first.process:wait()
        local site = start({ dir = first.dir })
        assert.equal(site:pid(), site:status().pid)
    end)

    it("leaves the socket to an older server of the same apps, and says how it is reached", function()
        local first = start()
        local second = start({ dir = first.dir })
        local path = second:wait_log("another server answers at"):match("MOONLOOP_CONTROL=(%S+)`")
        assert.equal(first:pid(), first:status().pid)
        local result = process.run({ server.binary, "status", "--json" }, {
            cwd = first.dir, env = { MOONLOOP_CONTROL = path },
        })
        assert.equal(second:pid(), cjson.decode(result.out).pid)
    end)

    it("is reached in a directory with a very long name", function()
        local dir = process.directory() .. ("/" .. ("d"):rep(100)):rep(3)
        local site = start({ dir = dir })
        assert.equal(site:pid(), site:status().pid)
    end)

    it("lets only its own user in", function()
        local site = start()
        local info = require("posix.sys.stat").stat(site.dir .. "/.moonloop/control.sock")
        assert.equal(384, bit.band(info.st_mode, 511))
    end)

    it("answers nobody else, even if the file would let others in", function()
        if require("posix.unistd").getuid() ~= 0 then
            pending("needs root, to become another user")
            return
        end
        local dir = process.directory()
        local site = start({ dir = dir })
        local path = dir .. "/.moonloop/control.sock"
        for _, each in ipairs({ dir, dir .. "/.moonloop", path }) do
            assert(require("posix.sys.stat").chmod(each, 511))
        end
        local caller = [[
import os, socket, sys
os.setgid(65534); os.setuid(int(sys.argv[2]))
s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
s.settimeout(10)
s.connect(sys.argv[1])
try:
    s.send(b"stop")
    print("answered" if s.recv(100) else "closed")
except (BrokenPipeError, ConnectionResetError):
    print("closed")
]]
        assert.equal("closed\n", process.run({ "python3", "-c", caller, path, "65534" }).out)
        assert.equal(site:pid(), site:status().pid)
        assert.equal("answered\n", process.run({ "python3", "-c", caller, path, "0" }).out)
    end)

    it("is not disturbed by callers who say nothing or nonsense", function()
        local site = start()
        local socket = require("posix.sys.socket")
        local silent = {}
        for i = 1, 5 do
            silent[i] = assert(socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET or 5, 0))
            assert(socket.connect(silent[i], {
                family = socket.AF_UNIX, path = site.dir .. "/.moonloop/control.sock",
            }))
        end
        socket.send(silent[1], "frobnicate " .. ("x"):rep(300))
        socket.send(silent[2], "\0\1\2")
        assert.equal(site:pid(), site:status().pid)
        for _, fd in ipairs(silent) do
            require("posix.unistd").close(fd)
        end
        assert.equal(site:pid(), site:status().pid)
    end)
end)
