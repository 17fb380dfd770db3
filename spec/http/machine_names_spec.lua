--- What the machine's files say about names: resolv.conf, hosts and nsswitch.conf, in a directory of the spec's own.

local nameserver = require("spec.support.nameserver")
local origin = require("spec.support.origin")
local process = require("spec.support.process")
local servers = require("spec.support.server")

local server, names, etc

setup(function()
    server = origin.start()
    names = nameserver.start({})
end)

before_each(function()
    etc = process.directory()
    process.write(etc .. "/resolv.conf", "nameserver " .. names.address .. "\n")
end)

teardown(function()
    server:stop()
    process.clean()
end)

---Runs a script with `get(name)`, which gives the status or the message of the failure; what it prints.
local function run(script, env)
    process.write(etc .. "/script.lua", ([[
        local http = require("moonloop.http")
        local moonloop = require("moonloop")
        local function get(name, options)
            options = options or {}
            options.headers = { Connection = "close" }
            local ok, res = pcall(http.get, "http://" .. name .. ":%d/echo", options)
            return ok and res.status or tostring(res)
        end
        local function write(name, text)
            local file = assert(io.open("%s/" .. name .. ".new", "w"))
            file:write(text)
            file:close()
            os.rename("%s/" .. name .. ".new", "%s/" .. name)
        end
    ]]):format(server.port, etc, etc, etc) .. script)
    local all = { MOONLOOP_ETC = etc, MOONLOOP_NAMESERVERS = false, LOCALDOMAIN = false, RES_OPTIONS = false }
    for name, value in pairs(env or {}) do
        all[name] = value
    end
    local result = process.run({ servers.binary, "run", etc .. "/script.lua" }, { env = all })
    assert.equal("", result.err)
    return (result.out:gsub("\n$", ""))
end

local function asked_for(name)
    local count = 0
    for _, line in ipairs(names:questions()) do
        count = count + (line == "udp A " .. name and 1 or 0)
    end
    return count
end

local LOCAL = { A = { "127.0.0.1" } }

describe("the file hosts", function()
    it("is believed before the name servers, in all its lines and in any case", function()
        names:set({})
        process.write(etc .. "/hosts", "# comment\n127.0.0.9 other\n::1 box.Test\n"
            .. "127.0.0.1\tfirst BOX.test alias # end\n"
            .. "nonsense wrong.test\n")
        assert.equal("200\t200\t200", run([[print(get("box.test"), get("ALIAS"), get("box.test."))]]))
        assert.equal(0, asked_for("box.test"))
        assert.matches("wrong.test: the name does not exist", run([[print(get("wrong.test"))]]))
    end)

    it("counts as it is now", function()
        names:set({})
        process.write(etc .. "/hosts", "")
        assert.equal("true\t200", run([[
            local before = get("late.test")
            write("hosts", "127.0.0.1 late.test\n")
            moonloop.sleep(1.1)
            print(before:find("NXDOMAIN") ~= nil, get("late.test"))
        ]]))
    end)

    it("has localhost, and without it that is the loopback interface", function()
        process.write(etc .. "/hosts", "127.0.0.1 localhost\n")
        assert.equal("200", run([[print(get("localhost"))]]))
        process.write(etc .. "/hosts", "127.0.0.77 localhost\n")
        assert.matches("127.0.0.77:%d+: Connection refused, while connecting", run([[print(get("localhost"))]]))
        os.remove(etc .. "/hosts")
        assert.equal("200", run([[print(get("localhost"))]]))
    end)
end)

describe("resolv.conf", function()
    it("has domains to search in, before a name with few dots and behind one with many", function()
        names:set({ ["db.two.test"] = LOCAL, ["a.b.one.test"] = LOCAL })
        process.write(etc .. "/resolv.conf", "search one.test two.test\nnameserver " .. names.address .. "\n")
        assert.equal("200\t200", run([[print(get("db"), get("a.b"))]]))
        assert.equal(1, asked_for("db.one.test"))
        assert.equal(0, asked_for("db"))
        assert.equal(1, asked_for("a.b"))
        assert.matches("db: the name does not exist", run([[print(get("db."))]]))
        assert.matches("none.one.test, none.two.test, none: the name does not exist", run([[print(get("none"))]]))
    end)

    it("says from how many dots on", function()
        names:set({ ["c.d.three.test"] = LOCAL })
        process.write(etc .. "/resolv.conf", "options ndots:2\nsearch three.test\nnameserver " .. names.address .. "\n")
        assert.equal("200", run([[print(get("c.d"))]]))
        assert.equal(0, asked_for("c.d"))
    end)

    it("says how often and how long one waits", function()
        names:set({ ["mute.test"] = { silent = true } })
        process.write(etc .. "/resolv.conf", "options timeout:1 attempts:1\nnameserver " .. names.address .. "\n")
        local said, seconds = run([[
            local began = moonloop.now()
            print(get("mute.test") .. "\t" .. moonloop.now() - began)
        ]]):match("(.*)\t(.*)")
        assert.truthy(said:find("mute.test: no name server answered in time; asked " .. names.address, 1, true), said)
        assert.is_true(tonumber(seconds) >= 0.9 and tonumber(seconds) < 5, seconds)
    end)

    it("lets the servers take turns", function()
        local other = nameserver.start({})
        local zone = { ["r1.test"] = LOCAL, ["r2.test"] = LOCAL }
        names:set(zone)
        other:set(zone)
        process.write(etc .. "/resolv.conf", ("options rotate\nnameserver %s\nnameserver %s\n"):format(names.address,
            other.address))
        assert.equal("200\t200", run([[print(get("r1.test"), get("r2.test"))]]))
        assert.equal(1, asked_for("r1.test"))
        assert.equal(1, other:count("r2.test"))
        other:stop()
    end)

    it("counts as it is now, and what the old servers said does not", function()
        local other = nameserver.start({ ["moved.test"] = LOCAL })
        names:set({ ["moved.test"] = { A = { "127.0.0.99" }, ttl = 300 } })
        assert.matches("127.0.0.99:%d+: Connection refused, while connecting\t200", run(([[
            local before = get("moved.test")
            write("resolv.conf", "nameserver %s\n")
            moonloop.sleep(1.1)
            print(before, get("moved.test"))
        ]]):format(other.address)))
        other:stop()
    end)

    it("gives way to the option nameservers", function()
        names:set({ ["given.test"] = LOCAL })
        process.write(etc .. "/resolv.conf", "nameserver 127.0.0.1:1\n")
        assert.equal("200", run([[print(get("given.test"))]], { MOONLOOP_NAMESERVERS = names.address }))
        assert.matches("given.test: no name server can be reached; asked 127.0.0.1:1,",
            run([[print(get("given.test"))]]))
    end)
end)

describe("MOONLOOP_DNS_CACHE and MOONLOOP_DNS_MAX_TTL", function()
    it("limit what is remembered", function()
        local function asked(size, first, second)
            names:set({ [first] = LOCAL, [second] = LOCAL })
            run(("get(%q) get(%q) get(%q)"):format(first, second, first), { MOONLOOP_DNS_CACHE = size })
            return asked_for(first)
        end
        assert.equal(1, asked("2", "c1.test", "c2.test"))
        assert.equal(2, asked("1", "c3.test", "c4.test"))
        assert.equal(2, asked("0", "c5.test", "c6.test"))
        names:set({ ["ttl.test"] = { A = { "127.0.0.1" }, AAAA = { "::1" }, ttl = 100 } })
        run("get('ttl.test') moonloop.sleep(1.1) get('ttl.test')", { MOONLOOP_DNS_MAX_TTL = "1" })
        assert.equal(2, asked_for("ttl.test"))
    end)

    it("share one lookup even when nothing is remembered", function()
        names:set({ ["shared.test"] = { A = { "127.0.0.1" }, hold = names:held() } })
        local script = [[
            local list = moonloop.scope(function(scope)
                local tasks = {}
                for i = 1, 3 do
                    tasks[i] = scope:spawn(get, "shared.test")
                end
                moonloop.sleep(0.05)
                io.open(%q, "w"):close()
                for i = 1, 3 do
                    tasks[i] = tasks[i]:wait()
                end
                return tasks
            end)
            print(unpack(list))
        ]]
        assert.equal("200\t200\t200", run(script:format(names:held()), { MOONLOOP_DNS_CACHE = "0" }))
        assert.equal(1, asked_for("shared.test"))
    end)

    it("are whole numbers", function()
        process.write(etc .. "/script.lua", [[require("moonloop.http")]])
        for name, wrong in pairs({ MOONLOOP_DNS_CACHE = "many", MOONLOOP_DNS_MAX_TTL = "0" }) do
            local result = process.run({ servers.binary, "run", etc .. "/script.lua" }, { env = { [name] = wrong } })
            assert.not_equal(0, result.code)
            assert.matches(name .. ": expected a whole number from %d+ to %d+, got \"" .. wrong .. "\"", result.err)
        end
    end)
end)

describe("nsswitch.conf", function()
    it("may have the name servers asked first", function()
        names:set({ ["order.test"] = LOCAL })
        process.write(etc .. "/hosts", "127.0.0.88 order.test\n127.0.0.1 only-here.test\n")
        process.write(etc .. "/nsswitch.conf", "passwd: files\nhosts: dns [!UNAVAIL=return] files\n")
        assert.equal("200\t200", run([[print(get("order.test"), get("only-here.test"))]]))
        process.write(etc .. "/nsswitch.conf", "hosts: files dns\n")
        assert.matches("127.0.0.88", run([[print(get("order.test"))]]))
        process.write(etc .. "/nsswitch.conf", "hosts: files\n")
        assert.matches("nsswitch.conf", run([[print(get("unknown.test"))]]))
    end)

    it("may name sources that only the C library knows", function()
        names:set({})
        assert.matches("127.1: the name does not exist", run([[print(get("127.1"))]]))
        process.write(etc .. "/nsswitch.conf", "hosts: files dns other\n")
        assert.equal("200", run([[print(get("127.1"))]]))
    end)
end)

describe("a server", function()
    local APP = [[
        local http = require("moonloop.http")
        local moonloop = require("moonloop")
        local app = moonloop.app()
        local function get(name)
            return tostring(http.get("http://" .. name .. ":%d/echo").status)
        end
        app:get("/here", function() return get("served.test") end)
        app:get("/thread", function() return moonloop.offload(get, "thread.test") end)
        return app
    ]]

    after_each(function()
        servers.clean()
    end)

    it("asks the name servers of its option, on every thread, and shows what it knows", function()
        local own = nameserver.start({ ["served.test"] = LOCAL, ["thread.test"] = LOCAL })
        local site = servers.start({
            apps = { ["index.lua"] = APP:format(server.port) },
            options = { "--workers", "1", "--nameservers", own.address, "--dns-max-ttl", "20" },
        })
        assert.equal("200", site:get("/here").body)
        assert.equal("200", site:get("/thread").body)
        local shown = site:call("ps").out
        assert.truthy(shown:find(own.address, 1, true), shown)
        assert.truthy(shown:find("1 names known, 0 asked for now; so far 1 lookups, 0 answers from memory", 1, true),
            shown)
    end)

    it("refuses what is no name server", function()
        for _, wrong in ipairs({ "example.com", "127.0.0.1:0", "1:2", "[127.0.0.1]:5", "127.0.0.1:", "::1]:5", "" }) do
            local result = process.run({ servers.binary, "serve", etc, "--nameservers", wrong }, { cwd = etc })
            assert.equal(1, select(2, result.err:gsub("\n", "")))
            assert.matches("nameservers", result.err)
        end
    end)
end)
