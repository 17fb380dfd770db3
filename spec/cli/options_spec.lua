local command = require("spec.support.command")
local process = require("spec.support.process")

---Settles options as `serve` would, through a script in the real runtime, and shows some of them.
local function settle(words, options, names)
    local script = [[
        local config = require("moonloop.cli.config")
        local files = require("moonloop.cli.files")
        local parsed = require("moonloop.cli.parser").parse({ "serve", unpack(arg, 2) })
        local settled = config.settle(parsed, files.environment())
        for name in arg[1]:gmatch("%S+") do
            local value = settled[name]
            print(type(value) == "table" and table.concat(value, " ") or tostring(value))
        end
    ]]
    command.write(options.cwd .. "/settle.lua", script)
    local result = command.call({ "run", "settle.lua", names, unpack(words) }, options)
    assert.equal("", result.err)
    return (result.out:gsub("\n$", ""))
end

describe("an option", function()
    local dir

    before_each(function()
        dir = process.directory()
    end)

    after_each(process.clean)

    local function fails(words, env)
        command.write(dir .. "/apps/index.lua", "return nil")
        local result = command.call({ "serve", unpack(words) }, { cwd = dir, env = env })
        assert.not_equal(0, result.code)
        assert.equal("", result.out)
        assert.equal(1, select(2, result.err:gsub("\n", "\n")), result.err)
        return result.err
    end

    it("on the command line beats the environment beats moonloop.conf.lua beats the default", function()
        command.write(dir .. "/moonloop.conf.lua", "return { timeout = 1, keepalive = 2, workers = 3 }")
        assert.equal("7\n6\n3\n1", settle({ "--timeout", "7" }, {
            cwd = dir, env = { MOONLOOP_TIMEOUT = "5", MOONLOOP_KEEPALIVE = "6" },
        }, "timeout keepalive workers block_limit"))
    end)

    it("has the defaults that the reference names", function()
        local names = "bind workers threads reload timeout block_limit limit_request_header max_body"
            .. " accesslog errorlog loglevel forwarded_allow_ips"
        assert.equal("127.0.0.1:8080\n0\n0\ntrue\n30\n1\n32768\n1048576\nnil\n-\ninfo\n127.0.0.1",
            settle({}, { cwd = dir }, names))
    end)

    it("takes dashes and underscores, gunicorn's short flags and Flask's port", function()
        assert.equal("2097152\n4\n9\n0.0.0.0:8000 [::1]:8001", settle({ "--max_body", "2M", "-w4", "-t", "9",
            "-b", "0.0.0.0:8000", "--bind=[::1]:8001" }, { cwd = dir }, "max_body workers timeout bind"))
        assert.equal("proxy+127.0.0.1:80 proxy+unix:/s", settle({ "--bind", "proxy+80,unix:/s", "--proxy-protocol" },
            { cwd = dir }, "bind"))
        assert.equal("0.0.0.0:5000", settle({ "--host", "0.0.0.0", "-p", "5000" }, { cwd = dir }, "bind"))
        assert.equal("false\ntrue", settle({ "--no-reload", "-D" }, { cwd = dir }, "reload daemon"))
    end)

    it("makes one worker of --dev unless workers are given", function()
        assert.equal("1", settle({ "--dev" }, { cwd = dir }, "workers"))
        assert.equal("3", settle({ "--dev", "-w", "3" }, { cwd = dir }, "workers"))
    end)

    it("gives sizes in bytes, lists from commas, and absolute paths", function()
        local real = command.run({ "pwd", "-P" }, { cwd = dir }).out:gsub("\n", "")
        assert.equal("1073741824\na:1 b:2\n" .. real .. "/run/x.pid\n" .. real .. "/site\n-", settle(
            { "site", "--pidfile", "./run/../run/x.pid", "--accesslog", "-" },
            { cwd = dir, env = { MOONLOOP_MAX_MEMORY = "1G", MOONLOOP_BIND = "a:1,b:2" } },
            "max_memory bind pidfile apps_dir accesslog"))
    end)

    it("that is misspelled is refused with the nearest name", function()
        assert.matches("unknown option %-%-wrokers; did you mean %-%-workers%?", fails({ "--wrokers", "2" }))
        assert.matches("MOONLOOP_WROKERS in the environment; did you mean MOONLOOP_WORKERS%?",
            fails({}, { MOONLOOP_WROKERS = "2" }))
        command.write(dir .. "/moonloop.conf.lua", "return {\n  -- wrokers = 1\n  wrokers = 2,\n}")
        assert.matches('/moonloop%.conf%.lua:3: unknown option "wrokers"; did you mean workers%?', fails({}))
    end)

    it("of the wrong type is refused with what was expected and what was given", function()
        assert.matches('%-%-timeout: expected seconds, a number from 0 to %d+, got "soon"',
            fails({ "--timeout", "soon" }))
        assert.matches('MOONLOOP_WORKERS: expected a whole number from 1 to 256, or auto, got "0"',
            fails({}, { MOONLOOP_WORKERS = "0" }))
        assert.matches('%-%-bind: expected HOST:PORT.*got "here"', fails({ "--bind", "here" }))
        assert.matches("expected a number from 0 to 65535", fails({ "-p", "/run/x.pid" }))
        command.write(dir .. "/moonloop.conf.lua", "return {\n  dev = 7,\n}")
        assert.matches("/moonloop%.conf%.lua:2: dev: expected true or false, got 7", fails({}))
    end)

    it("in a configuration file that is no such thing is refused with file and line", function()
        for text, message in pairs({
            ["return {"] = "moonloop%.conf%.lua:1: unexpected symbol",
            ["\nlocal x = nil; x.y = 1"] = "moonloop%.conf%.lua:2: attempt to index",
            [""] = "moonloop%.conf%.lua: expected the file to return a table of options, got nil",
            ["return { [1] = 2 }"] = "moonloop%.conf%.lua: unknown option 1",
        }) do
            command.write(dir .. "/moonloop.conf.lua", text)
            assert.matches(message, fails({}))
        end
        assert.matches("nowhere: cannot be read: No such file", fails({ "--config", "nowhere" }))
    end)

    it("for TLS stops the start when it cannot be: nothing is served in plain text instead", function()
        assert.matches("tls: .*/none.pem: No such file or directory", fails({ "--certfile", "none.pem" }))
        assert.matches("keyfile: is for TLS, which needs certfile as well", fails({ "--keyfile", "b" }))
        assert.matches('forwarded%-allow%-ips: expected IP addresses and networks .*, got "10%.0%.0%.0/33"',
            fails({ "--forwarded-allow-ips", "10.0.0.0/33" }))
        assert.matches("expected IP addresses and networks", fails({ "--forwarded-allow-ips", "proxy.example" }))
        assert.matches('or %*; "fe80::1%%eth0" is none, got "::1,fe80::1%%eth0"',
            fails({ "--forwarded-allow-ips", "::1,fe80::1%eth0" }))
        assert.matches('%-%-bind: expected HOST:PORT.*got "proxy%+here"', fails({ "--bind", "proxy+here" }))
        assert.matches("redirect_bind: is for TLS", fails({ "--redirect-bind", ":0" }))
        assert.matches("cert_reqs: .* ca_certs .* is missing", fails({ "--cert-reqs", "required" }))
        assert.matches("keyfile: expected as many as certfile names %(2%) in the same order, .* got 1",
            fails({ "--certfile", "a", "--certfile", "b", "--keyfile", "c" }))
    end)

    it("of gunicorn's without a use here is explained and ignored", function()
        command.write(dir .. "/moonloop.conf.lua", 'return { worker_class = "gevent", workers = 2 }')
        local result = command.call({ "serve", "-c", "moonloop.conf.lua", "nowhere" }, { cwd = dir })
        assert.matches("moonloop%.conf%.lua:1: worker_class is ignored: moonloop has one kind of worker",
            result.err)
        command.write(dir .. "/parse.lua", [[
            local parsed = require("moonloop.cli.parser").parse(arg)
            print(table.concat(parsed.ignored, " "), parsed.apps)
        ]])
        result = command.call({ "run", "parse.lua", "serve", "--preload", "-k", "gthread", "--worker-connections",
            "100", "site" }, { cwd = dir })
        assert.equal("preload_app worker_class worker_connections\tsite\n", result.out)
    end)
end)

describe("the options' reference", function()
    it("is current in the man page, in docs/options.md and in bash's completion", function()
        local hint = " is old: ./moonloop help --%s >%s"
        local kept = { man = "man/moonloop.1", markdown = "docs/options.md", bash = "man/moonloop.bash" }
        for kind, path in pairs(kept) do
            local made = command.call({ "help", "--" .. kind }).out
            assert.matches("max.-body", made)
            assert.is_true(made == command.read(path), path .. hint:format(kind, path))
        end
    end)
end)
