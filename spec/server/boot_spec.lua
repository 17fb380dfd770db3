local process = require("spec.support.process")
local server = require("spec.support.server")

local HELLO = [[
local app = require("moonloop").app()
app:get("/", function() return "hello from " .. tostring(1) end)
return app
]]

--- What a start that fails says, and its exit code.
local function fail(given)
    given.apps = given.apps or { ["hello.lua"] = HELLO }
    local site = server.spawn(given)
    local how, code = site.process:wait()
    assert.equal("exited", how)
    return site:log(), code
end

describe("serve", function()
    after_each(server.clean)

    it("prints the address it listens on and its routes, and serves there", function()
        local site = server.start({ apps = { ["hello.lua"] = HELLO } })
        assert.matches("^http://127%.0%.0%.1:%d+$", site.url)
        assert.matches("GET%s+/hello/", site.process:out())
        assert.equal(200, site:get("/hello/").status)
        local how, code = site:stop()
        assert.same({ "exited", 0 }, { how, code })
    end)

    it("starts as many workers as it is told, each with its own listening socket", function()
        local site = server.start({ apps = { ["hello.lua"] = HELLO }, options = { "--workers", "3" } })
        assert.equal(3, #site:worker_pids())
        local seen = {}
        process.wait_for("an answer of each worker", function()
            site:get("/hello/")
            for _, worker in ipairs(site:status().workers) do
                seen[worker.worker] = worker.requests > 0 or seen[worker.worker]
            end
            return seen[1] and seen[2] and seen[3]
        end)
    end)

    it("starts as many workers as it has processors to use when told auto", function()
        local site = server.start({
            apps = { ["hello.lua"] = HELLO }, options = { "--workers", "auto" }, prefix = "exec taskset -c 0",
        })
        assert.equal(1, #site:worker_pids())
    end)

    it("runs the workers as another user when it is root", function()
        if require("posix.unistd").getuid() ~= 0 then
            pending("needs root")
            return
        end
        local site = server.start({ apps = { ["hello.lua"] = HELLO }, options = { "--user", "nobody" } })
        local status = process.read("/proc/" .. site:worker_pids()[1] .. "/status")
        local nobody = require("posix.pwd").getpwnam("nobody")
        assert.equal(tostring(nobody.pw_uid), status:match("\nUid:%s+(%d+)"))
        assert.equal(tostring(nobody.pw_gid), status:match("\nGid:%s+(%d+)"))
        assert.equal(tostring(nobody.pw_gid), status:match("\nGroups:%s+([^\n]-)%s*\n")) -- none of root's
        assert.equal("0000000000000000", status:match("\nCapEff:%s+(%x+)"))
        assert.equal("0000000000000000", status:match("\nCapPrm:%s+(%x+)"))
        assert.equal(200, site:get("/hello/").status)
    end)

    it("runs the workers as a number that is nobody's, with that group alone", function()
        if require("posix.unistd").getuid() ~= 0 then
            pending("needs root")
            return
        end
        for options, expected in pairs({ [{ "--user", "99999" }] = "99999 99999",
            [{ "--user", "99999", "--group", "88888" }] = "99999 88888" }) do
            local site = server.start({ apps = { ["hello.lua"] = HELLO }, options = options })
            local status = process.read("/proc/" .. site:worker_pids()[1] .. "/status")
            local group = expected:match("(%d+)$")
            assert.equal(expected, status:match("\nUid:%s+(%d+)") .. " " .. status:match("\nGid:%s+(%d+)"))
            assert.equal(group, status:match("\nGroups:%s+([^\n]-)%s*\n"))
            assert.equal(200, site:get("/hello/").status)
            site:stop()
        end
    end)

    it("serves a socket that it inherits", function()
        local listener = assert(require("socket").bind("127.0.0.1", 0))
        local _, port = listener:getsockname()
        local fd = listener:getfd()
        local site = server.start({
            apps = { ["hello.lua"] = HELLO }, options = { "--workers", "2" }, bind = "fd://" .. fd, keep_fd = fd,
        })
        local connection = server.connect("127.0.0.1", tonumber(port))
        listener:close()
        assert.equal(200, connection:request("GET", "/hello/").status)
        connection:close()
        assert.equal("fd://" .. fd, site.url)
    end)

    it("listens on several addresses: IPv4, IPv6 and a Unix socket", function()
        local dir = process.directory()
        local site = server.start({
            apps = { ["hello.lua"] = HELLO },
            options = { "--workers", "2", "--bind", "[::1]:0", "--bind", "unix:" .. dir .. "/web.sock" },
        })
        assert.equal(3, #site.urls)
        for _, url in ipairs(site.urls) do
            local host, port = url:match("^http://(.+):(%d+)$")
            local connection = server.connect(host and host:gsub("[%[%]]", "") or url, tonumber(port))
            assert.equal(200, connection:request("GET", "/hello/").status)
            connection:close()
        end
        site:stop()
        assert.is_nil(process.read(dir .. "/web.sock"))
        assert.is_nil(require("posix.unistd").access(dir .. "/web.sock"))
    end)

    it("takes the place of a Unix socket that a killed server left behind", function()
        local path = process.directory() .. "/web.sock"
        local first = server.start({ apps = { ["hello.lua"] = HELLO }, bind = "unix:" .. path })
        local workers = first:worker_pids()
        first:signal("KILL")
        first.process:wait()
        for _, pid in ipairs(workers) do
            process.wait_for("the end of a worker", function() return not process.exists(pid) end)
        end
        local site = server.start({ apps = { ["hello.lua"] = HELLO }, bind = "unix:" .. path })
        assert.equal(200, site:get("/hello/").status)
    end)

    it("says what to do when the port is in use, also by a moonloop", function()
        local site = server.start({ apps = { ["hello.lua"] = HELLO } })
        local said, code = fail({ bind = "127.0.0.1:" .. site.port })
        assert.equal(1, code)
        assert.equal(("moonloop: 127.0.0.1:%d is in use by another program: stop it, or choose another"
            .. " with --bind\n"):format(site.port), said)
    end)

    it("says what to do about an address that is not this machine's", function()
        local said, code = fail({ bind = "192.0.2.1:0" })
        assert.equal(1, code)
        assert.matches("^moonloop: this machine has no address 192%.0%.2%.1:0: [^\n]+\n$", said)
    end)

    it("says which directory is missing", function()
        local said, code = fail({ options = { "--chdir", "/nowhere/at/all" } })
        assert.equal(1, code)
        assert.matches("^moonloop: [^\n]*/nowhere/at/all[^\n]*\n$", said)
    end)

    it("says that a file descriptor is no listening socket", function()
        local said, code = fail({ bind = "fd://77" })
        assert.equal(1, code)
        assert.equal("moonloop: bind: fd://77 is not a socket that listens\n", said)
    end)

    it("says which user does not exist", function()
        local said, code = fail({ options = { "--user", "nobody-of-this-name" } })
        assert.equal(1, code)
        assert.equal('moonloop: user: there is no user "nobody-of-this-name"\n', said)
    end)

    it("says what is wrong with chdir, and not with the apps that it has not found there", function()
        local said, code = fail({ options = { "--chdir", "/etc/passwd" } })
        assert.equal(1, code)
        assert.equal("moonloop: chdir: /etc/passwd: Not a directory\n", said)
        said = fail({ options = { "--chdir", "/nowhere" } })
        assert.equal("moonloop: chdir: /nowhere: No such file or directory\n", said)
    end)

    it("says where the log cannot be opened", function()
        local said, code = fail({ options = { "--errorlog", "/nowhere/log" } })
        assert.equal(1, code)
        assert.matches("^moonloop: errorlog: cannot open /nowhere/log: [^\n]+\n$", said)
    end)

    it("says where the access log cannot be opened", function()
        local said, code = fail({ options = { "--accesslog", "/nonexistent/access.log" } })
        assert.equal(1, code)
        assert.matches("accesslog: cannot open /nonexistent/access.log: No such file or directory", said, 1, true)
    end)

    it("writes the pid file and removes it, and refuses one of a running server", function()
        local path = process.directory() .. "/pid"
        local site = server.start({ apps = { ["hello.lua"] = HELLO }, options = { "--pidfile", path } })
        assert.equal(site:pid() .. "\n", process.read(path))
        local said, code = fail({ options = { "--pidfile", path } })
        assert.equal(1, code)
        assert.matches("belongs to a running process, " .. site:pid(), said, 1, true)
        site:stop()
        assert.is_nil(process.read(path))
    end)

    it("goes into the background with --daemon once it serves", function()
        local dir = process.directory()
        local site = server.spawn({
            apps = { ["hello.lua"] = HELLO },
            options = { "--daemon", "--pidfile", dir .. "/pid", "--errorlog", dir .. "/log" },
        })
        local how, code = site.process:wait()
        assert.same({ "exited", 0 }, { how, code })
        local pid = tonumber(process.read(dir .. "/pid"))
        assert.equal(pid, site:status().pid)
        assert.equal(0, site:call("stop").code)
        assert.is_false(process.exists(pid))
        assert.matches("listening on", process.read(dir .. "/log"))
    end)

    it("tells the user of --daemon why it did not start", function()
        local site = server.start({ apps = { ["hello.lua"] = HELLO } })
        local said, code = fail({ bind = "127.0.0.1:" .. site.port, options = { "--daemon" } })
        assert.equal(1, code)
        assert.matches("is in use by another program", said)
    end)

    it("serves other apps when one is broken from the start", function()
        local site = server.start({ apps = { ["hello.lua"] = HELLO, ["bad.lua"] = "x = = 1\n" } })
        assert.equal(200, site:get("/hello/").status)
        assert.equal(500, site:get("/bad/").status)
        assert.matches("bad.lua:1:", site:log(), 1, true)
        assert.equal("bad", site:status().failures[1].app)
    end)

    it("serves with 300 file descriptors, and clients who say nothing make room for more", function()
        local site = server.start({
            apps = { ["hello.lua"] = HELLO }, prefix = "ulimit -n 300; exec", options = { "--workers", "1" },
        })
        local crowd = {}
        for i = 1, 400 do
            crowd[i] = server.connect(site.host, site.port)
        end
        assert.equal(200, site:get("/hello/").status)
        assert.equal(200, crowd[400]:request("GET", "/hello/").status)
        for i = 1, 400 do
            crowd[i]:close()
        end
        assert.equal(200, site:get("/hello/").status)
        assert.equal(0, site:status().crashes)
    end)
end)
