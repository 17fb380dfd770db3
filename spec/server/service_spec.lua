--- The server under a service manager: sockets that are passed, what it tells, and the unit that is printed.

local certificates = require("spec.support.certificates")
local command = require("spec.support.command")
local process = require("spec.support.process")
local server = require("spec.support.server")
local socket = require("posix.sys.socket")
local tls = require("spec.support.tls")

local APP = [[
local moonloop = require("moonloop")
local app = moonloop.app()
app:get("/", function() return "hello\n" end)
app:get("/env", function()
    return tostring(os.getenv("NOTIFY_SOCKET")) .. " " .. tostring(os.getenv("LISTEN_FDS"))
end)
return app
]]

--- A socket as the manager has it. `next()` waits for the next message, a table of its lines.
local function manager()
    local path = process.directory() .. "/notify"
    local fd = assert(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM, 0))
    assert(socket.bind(fd, { family = socket.AF_UNIX, path = path }))
    assert(socket.setsockopt(fd, socket.SOL_SOCKET, socket.SO_RCVTIMEO, 10, 0))
    local self = { path = path }
    function self.next()
        local text = assert(socket.recv(fd, 4096), "the server has told nothing")
        local lines = {}
        for name, value in text:gmatch("([^=\n]+)=([^\n]*)") do
            lines[name] = value
        end
        return lines
    end
    function self.wait(name)
        while true do
            local lines = self.next()
            if lines[name] then
                return lines
            end
        end
    end
    function self.close()
        require("posix.unistd").close(fd)
    end
    return self
end

describe("under a service manager", function()
    local service

    before_each(function()
        service = manager()
    end)
    after_each(function()
        server.clean()
        service.close()
    end)

    local function start(given)
        given = given or {}
        given.apps = { ["hello.lua"] = APP }
        given.env = given.env or {}
        given.env.NOTIFY_SOCKET = service.path
        return server.start(given)
    end

    it("tells when it serves, reloads and stops", function()
        local site = start()
        local ready = service.next()
        assert.equal("1", ready.READY)
        assert.equal(tostring(site:pid()), ready.MAINPID)
        assert.matches("/apps at " .. site.url .. ", 1 worker, generation 1", ready.STATUS, 1, true)
        site:signal("HUP")
        local reloading = service.next()
        assert.equal("1", reloading.RELOADING)
        assert.matches("^%d+$", reloading.MONOTONIC_USEC)
        assert.matches("generation 2$", service.wait("READY").STATUS)
        site:signal("TERM")
        assert.equal("1", service.wait("STOPPING").STOPPING)
    end)

    it("tells that it is ready again when a configuration was refused", function()
        local site = start()
        service.wait("READY")
        process.write(site.dir .. "/moonloop.conf.lua", "return { wrokers = 1 }")
        site:signal("HUP")
        service.wait("RELOADING")
        assert.matches("generation 1$", service.wait("READY").STATUS)
    end)

    it("tells that it is ready again after an upgrade", function()
        local site = start()
        service.wait("READY")
        site:signal("USR2")
        service.wait("RELOADING")
        assert.matches("generation 2$", service.wait("READY").STATUS)
    end)

    it("says that it is alive, twice as often as it has to", function()
        start({ env = { WATCHDOG_USEC = "200000" } })
        for _ = 1, 3 do
            service.wait("WATCHDOG")
        end
    end)

    it("says nothing in the place of another process", function()
        local site = start({ env = { WATCHDOG_USEC = "20000", WATCHDOG_PID = "1" } })
        assert.equal("1", service.next().READY)
        site:signal("TERM")
        assert.equal("1", service.next().STOPPING)
    end)

    it("keeps what is between the manager and the master from apps", function()
        assert.equal("nil nil", start():get("/hello/env").body)
    end)

    it("goes on when nobody listens, or the address is none", function()
        for _, address in ipairs({ process.directory() .. "/gone", "@moonloop-spec-gone", "garbage" }) do
            local site = server.start({ apps = { ["hello.lua"] = APP }, env = { NOTIFY_SOCKET = address } })
            assert.equal("hello\n", site:get("/hello/").body)
        end
    end)

    describe("that opens the sockets", function()
        local listener, port

        before_each(function()
            listener = assert(require("socket").bind("127.0.0.1", 0))
            port = select(2, listener:getsockname())
        end)

        local function activate(given)
            local fd = listener:getfd()
            given.prefix = ([[exec bash -c 'exec 3<&%d; export LISTEN_PID=%s LISTEN_FDS=1; exec "$@"' bash]]):format(
                fd, given.listen_pid or "$$") -- other shells know descriptors below 10 only
            given.apps, given.keep_fd = { ["hello.lua"] = APP }, fd
            local site = server.start(given)
            listener:close()
            return site
        end

        it("serves those when no bind is given, also after a reload of the configuration", function()
            local site = activate({ bind = false })
            assert.equal("fd://3", site.url)
            site:signal("HUP")
            site:wait_log("generation 2 is live")
            assert.is_nil(site:log():find("change only with a restart", 1, true))
            local connection = server.connect("127.0.0.1", tonumber(port))
            assert.equal("hello\n", connection:request("GET", "/hello/").body)
            assert.equal("nil nil", connection:request("GET", "/hello/env").body)
            connection:close()
        end)

        it("has them expect a PROXY header where that is asked for", function()
            local site = activate({ bind = false, options = { "--workers", "1", "--proxy-protocol" } })
            assert.matches("\nfd://3\n  expects a PROXY header from 127.0.0.1\n", site.process:out(), 1, true)
            local connection = server.connect("127.0.0.1", tonumber(port))
            connection:send("PROXY TCP4 1.2.3.4 127.0.0.1 1 2\r\n")
            assert.equal("hello\n", connection:request("GET", "/hello/").body)
            connection:close()
        end)

        it("prefers a bind that is given, and says so", function()
            local site = activate({})
            assert.matches("^http://127", site.url)
            assert.matches("bind is given, so the sockets that the service manager has opened %(fd://3%) are not used",
                site.process:err())
        end)

        it("leaves those of another process alone", function()
            local site = activate({ listen_pid = "1", bind = false, options = { "--bind", "127.0.0.1:0" } })
            assert.matches("^http://127", site.url)
            assert.is_nil(site.process:err():find("service manager", 1, true))
        end)
    end)
end)

describe("moonloop unit", function()
    after_each(server.clean)

    local function unit(...)
        local dir = process.directory()
        process.make_directory(dir .. "/apps")
        local answer = process.run({ server.binary, "unit", ... }, { cwd = dir })
        return answer, dir
    end

    it("prints a unit that systemd takes, with the options that were given", function()
        local answer, dir = unit("--workers", "2", "--bind", ":80", "--accesslog", "my logs/100%.log",
            "--user", "www-data")
        assert.equal(0, answer.code)
        local start = ("ExecStart=%s serve --control /run/moonloop/control.sock --bind 0.0.0.0:80 --workers 2"
            .. ' --accesslog "%s/my logs/100%%%%.log" %s/apps\n'):format(server.binary, dir, dir)
        assert.is_truthy(answer.out:find(start, 1, true), answer.out)
        assert.matches("\nUser=www%-data\n", answer.out)
        assert.matches("\nAmbientCapabilities=CAP_NET_BIND_SERVICE\n", answer.out)
        assert.is_truthy(answer.out:find(('\nReadWritePaths="%s/my logs"\n'):format(dir), 1, true))
        assert.matches("\nType=notify\n", answer.out)
        if process.run({ "sh", "-c", "command -v systemd-analyze" }).code == 0 then
            process.write(dir .. "/moonloop.service", answer.out)
            local verdict = process.run({ "systemd-analyze", "verify", "--man=no", dir .. "/moonloop.service" })
            assert.equal("", verdict.err)
        end
    end)

    it("needs no privilege for a port from 1024", function()
        local answer = unit("--service", "shop")
        assert.matches("\nAmbientCapabilities=\n", answer.out)
        assert.matches("\nDynamicUser=yes\n", answer.out)
        assert.matches("\nRuntimeDirectory=shop\n", answer.out)
        assert.matches("/run/shop/control.sock", answer.out)
    end)

    it("with TLS has the master read the keys as root, with what it needs of root's rights and no more", function()
        local answer, dir = unit("--bind", ":443", "--certfile", "site.pem,other.pem", "--keyfile",
            "site.key,other.key", "--user", "www-data", "--group", "nogroup")
        assert.equal(0, answer.code, answer.err)
        assert.is_truthy(answer.out:find((" --user www-data --group nogroup --certfile DIR/site.pem"
            .. " --certfile DIR/other.pem --keyfile DIR/site.key --keyfile DIR/other.key DIR/apps\n")
            :gsub("DIR", dir), 1, true), answer.out)
        assert.is_nil(answer.out:match("\nUser="))
        assert.is_nil(answer.out:match("\nDynamicUser="))
        assert.matches("\nAmbientCapabilities=\n", answer.out)
        assert.matches("\nCapabilityBoundingSet=CAP_SETUID CAP_SETGID CAP_CHOWN CAP_KILL CAP_NET_BIND_SERVICE\n",
            answer.out)
        if process.run({ "sh", "-c", "command -v systemd-analyze" }).code == 0 then
            process.write(dir .. "/moonloop.service", answer.out)
            local verdict = process.run({ "systemd-analyze", "verify", "--man=no", dir .. "/moonloop.service" })
            assert.equal("", verdict.err)
        end
        local nobody = unit("--certfile", "site.pem")
        assert.equal(1, nobody.code)
        assert.matches("name it with %-%-user %(adduser %-%-system", nobody.err)
    end)

    local as_root = require("posix.unistd").geteuid() == 0 and it or pending
    as_root("leaves root rights enough to serve TLS, renew certificates and end workers", function()
        local directory = tls.directory()
        command.run({ "chmod", "700", directory })
        command.run({ "chmod", "600", directory .. "/good.key" })
        local caps = unit("--user", "nobody", "--certfile", "x").out:match("\nCapabilityBoundingSet=([^\n]+)")
        local bounds = "-all" .. caps:lower():gsub("cap_(%w+) ?", ",+%1")
        local site = server.start({
            apps = { ["hello.lua"] = APP }, prefix = "exec setpriv --no-new-privs --bounding-set=" .. bounds,
            options = { "--workers", "2", "--user", "nobody", "--certfile", directory .. "/good.pem", "--keyfile",
                directory .. "/good.key", "--accesslog", "access.log", "--errorlog", "error.log",
                "--graceful-timeout", "1" },
        })
        local function log()
            return process.read(site.dir .. "/error.log") or ""
        end
        assert.equal("hello\n", tls.client(directory):get(site.url .. "/hello/"):body())
        certificates.issue(directory, "next", "DNS:localhost,IP:127.0.0.1")
        process.write(directory .. "/good.key", command.read(directory .. "/next.key"))
        process.write(directory .. "/good.pem", command.read(directory .. "/next.pem"))
        process.wait_for("the new certificate", function()
            return log():find("new connections get the new ones", 1, true)
        end)
        assert.equal("next", tls.shown(site.port))
        assert.equal(0, site:call("reload", "--wait").code)
        assert.equal(0, site:call("restart", "--wait").code)
        assert.equal(0, site:call("scale", "1").code)
        local stuck = site:worker_pids()[1]
        process.kill(stuck, "KILL")
        site:wait_status("a successor", function()
            local pids = site:worker_pids()
            return #pids == 1 and pids[1] ~= stuck
        end)
        local worker = site:worker_pids()[1]
        process.kill(worker, "STOP") -- it cannot drain: the master has to end it after its grace
        site.process:kill("TERM")
        local how, code = site.process:wait(60)
        assert.equal("exited 0", how .. " " .. code, log())
        assert.is_false(process.exists(worker))
        command.remove(directory)
    end)

    it("refuses a name that cannot be one", function()
        local answer = unit("--service", "a/b")
        assert.equal(2, answer.code)
        assert.matches("cannot be the name of a unit", answer.err)
    end)
end)

describe("moonloop dockerfile", function()
    after_each(server.clean)

    it("prints a recipe that binds to all addresses unless told otherwise", function()
        local answer = process.run({ server.binary, "dockerfile", "--workers", "3" })
        assert.equal(0, answer.code)
        assert.matches('\nCMD %["moonloop", "serve", .*"%-%-bind", "0%.0%.0%.0:8080", "%-%-workers", "3",'
            .. ' "/srv/apps"%]\n', answer.out)
        assert.matches("\nEXPOSE 8080\n", answer.out)
        answer = process.run({ server.binary, "dockerfile", "--bind", "0.0.0.0:9000", "--bind", "unix:/run/a.sock" })
        assert.matches("\nEXPOSE 9000\n", answer.out)
        assert.matches('"%-%-bind", "unix:/run/a.sock"', answer.out)
    end)

    it("takes the configuration file and the apps along, and says what else the image needs", function()
        local dir = process.directory()
        process.make_directory(dir .. "/shop")
        process.write(dir .. "/moonloop.conf.lua", 'return { daemon = true, user = "shop", certfile = "site.pem" }')
        local answer = process.run({ server.binary, "dockerfile", "shop" }, { cwd = dir })
        assert.equal(0, answer.code, answer.err)
        assert.matches("\nCOPY moonloop /src\n", answer.out, 1, true)
        assert.matches("\nCOPY moonloop.conf.lua /srv/moonloop.conf.lua\nCOPY shop /srv/apps\n", answer.out, 1, true)
        assert.matches('"--config", "/srv/moonloop.conf.lua", "--no-daemon", "/srv/apps"]\n', answer.out, 1, true)
        assert.matches("\nUSER moonloop\n", answer.out)
        assert.matches("\nSTOPSIGNAL SIGTERM\nHEALTHCHECK ", answer.out)
        assert.matches("^# Put a checkout of moonloop into moonloop/", answer.out)
        assert.matches("certfile: " .. dir .. "/site.pem is no part of the image: mount it there", answer.err, 1, true)
        assert.matches("user, group: the image has a user of its own", answer.err)
        local elsewhere = process.run({ server.binary, "dockerfile", "/srv/far/apps" })
        assert.matches("# Put /srv/far/apps into the context as apps: it lies outside of this directory.\n",
            elsewhere.out, 1, true)
    end)

    it("names every package that the build needs", function()
        local answer = process.run({ server.binary, "dockerfile" })
        for package in process.read("packages.txt"):gmatch("\nbuild (%S+)") do
            assert.is_truthy(answer.out:find(" " .. package, 1, true), package)
        end
    end)
end)
