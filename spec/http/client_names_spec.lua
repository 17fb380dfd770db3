--- Names of the client: what is asked of the name servers, what is believed, what is remembered, and what is said
--- when there is nothing. Against a name server of the spec's own.

local http = require("moonloop.http")
local moonloop = require("moonloop")
local nameserver = require("spec.support.nameserver")
local origin = require("spec.support.origin")
local process = require("spec.support.process")
local virtual = require("moonloop.testing").virtual

local server, names

setup(function()
    server = origin.start()
    names = nameserver.start({})
end)

teardown(function()
    server:stop()
    process.clean()
end)

local serial = 0

---A name that nobody has asked for yet, below test.
local function fresh(entry, zone)
    serial = serial + 1
    local name = ("n%d.test"):format(serial)
    zone = zone or {}
    zone[name] = entry
    names:set(zone)
    return name
end

local function client_of(...)
    local list = {}
    for i, each in ipairs({ ... }) do
        list[i] = type(each) == "table" and each.address or each
    end
    return http.client({ nameservers = #list > 0 and list or { names.address } })
end

local function get(client, name, options)
    options = options or {}
    options.headers = { Connection = "close" }
    return client:get(("http://%s:%d/echo"):format(name, server.port), options)
end

local function failure(client, name, options)
    local ok, err = pcall(get, client, name, options)
    assert.is_false(ok)
    return err
end

local LOCAL = { A = { "127.0.0.1" } }

describe("a name", function()
    it("is asked for as A and as AAAA, and the origin is reached", function()
        local name = fresh(LOCAL)
        local res = get(client_of(), name)
        assert.equal(200, res.status)
        assert.is_true(res.timing.dns > 0)
        assert.is_true(res.timing.connect > 0)
        local asked = names:questions()
        local last = { asked[#asked], asked[#asked - 1] }
        table.sort(last)
        assert.same({ "udp A " .. name, "udp AAAA " .. name }, last)
    end)

    it("may be an alias of an alias", function()
        local name = fresh({ CNAME = "b.test" }, { ["b.test"] = { CNAME = "c.test" }, ["c.test"] = LOCAL })
        assert.equal(200, get(client_of(), name).status)
    end)

    it("is the same in capitals and with a dot at its end", function()
        local name = fresh(LOCAL)
        local client = client_of()
        assert.equal(200, get(client, name:upper() .. ".").status)
        assert.equal(200, get(client, name:upper()).status)
    end)

    it("comes over TCP when the answer does not fit", function()
        local name = fresh({ A = { "127.0.0.1" }, truncate = true })
        assert.equal(200, get(client_of(), name).status)
        local text = table.concat(names:questions(), "\n")
        assert.truthy(text:find("udp A " .. name, 1, true))
        assert.truthy(text:find("tcp A " .. name, 1, true))
    end)

    it("is not taken from answers to other questions", function()
        for _, what in ipairs({ "wrong_id", "wrong_question", "wrong_port", "garbage" }) do
            local name = fresh({ A = { "127.0.0.1" }, before = { what } })
            assert.equal(200, get(client_of(), name).status, what)
        end
    end)

    it("is asked of the next server when one fails, refuses or is not there", function()
        local other = nameserver.start({})
        for _, rcode in ipairs({ 2, 4, 5 }) do
            local name = fresh(LOCAL)
            other:set({ [name] = { rcode = rcode } })
            assert.equal(200, get(client_of(other, names), name).status)
            assert.equal(1, other:count(name))
        end
        other:stop()
        assert.equal(200, get(client_of(other, names), fresh(LOCAL)).status)
    end)

    it("is asked of a server with an IPv6 address", function()
        local six = nameserver.start({ ["six.test"] = LOCAL }, "::1")
        assert.equal(200, get(client_of(six), "six.test").status)
    end)

    it("is asked of a server with an address of one link", function()
        local link
        for line in io.lines("/proc/net/if_inet6") do
            local digits, scope, interface = line:match("^(fe80%x+) %x+ %x+ (%x+) %x+ +(%S+)")
            link = link or scope == "20" and (digits:gsub("%x%x%x%x", "%0:"):gsub(":$", "") .. "%" .. interface)
        end
        if not link then
            return pending("no interface of this machine has a link-local address")
        end
        local near = nameserver.start({ ["near.test"] = LOCAL }, link)
        assert.equal(200, get(client_of(near), "near.test").status)
    end)

    it("that is localhost is asked of nobody", function()
        local before = #names:questions()
        local client = client_of()
        assert.equal(200, get(client, "localhost").status)
        assert.equal(200, get(client, "Deep.Below.LocalHost.").status)
        assert.equal(before, #names:questions())
    end)
end)

describe("the option nameservers", function()
    it("is a list of addresses", function()
        for list, said in pairs({
            [{}] = "the list is empty",
            [{ 53 }] = "expected addresses, got a number",
            [{ "ns.example.com" }] = '"ns.example.com" is no address, such as',
            [{ "127.0.0.1:70000" }] = '"127.0.0.1:70000" is no address, such as',
            [{ "[::1" }] = '"[::1" is no address, such as',
            [{ "::1", "::2", "::3", "::4", "::5", "::6", "::7", "::8", "::9" }] = "8 at most",
        }) do
            local ok, err = pcall(http.client, { nameservers = list })
            assert.is_false(ok)
            assert.truthy(err:find("client_names_spec.lua:%d+: http.client: option nameservers: "), err)
            assert.truthy(err:find(said, 1, true), err)
        end
    end)
end)

describe("a name that leads nowhere", function()
    it("does not exist", function()
        local name = fresh(nil)
        local err = failure(client_of(), name)
        assert.equal("dns", err.code)
        assert.equal(("GET http://%s:%d/echo: %s: the name does not exist (NXDOMAIN); asked %s, "
            .. "while resolving the name"):format(name, server.port, name, names.address), tostring(err))
        assert.equal("while resolving the name", err.stage)
    end)

    it("has no address", function()
        local name = fresh({ TXT = true })
        assert.matches(name .. ": the name has no address; asked", tostring(failure(client_of(), name)))
    end)

    it("cannot be found out", function()
        for rcode, said in pairs({ [2] = "SERVFAIL", [5] = "REFUSED" }) do
            local name = fresh({ rcode = rcode })
            local err = failure(client_of(), name)
            assert.equal("dns", err.code)
            assert.truthy(tostring(err):find(said, 1, true), tostring(err))
        end
    end)

    it("is asked of servers that are not there", function()
        local gone = nameserver.start({})
        gone:stop()
        local err = failure(client_of(gone), "a.test")
        assert.equal("dns", err.code)
        assert.matches("no name server can be reached; asked " .. gone.address:gsub("%p", "%%%0"), tostring(err))
    end)

    it("is none", function()
        local client = client_of()
        local before = #names:questions()
        for name, said in pairs({
            [("a"):rep(64) .. ".test"] = "a part of the name is longer than 63 bytes",
            ["a..test"] = "a part of the name is empty",
            ["thing.invalid"] = "names of this kind are in no name server",
        }) do
            local err = failure(client, name)
            assert.equal("dns", err.code)
            assert.truthy(tostring(err):find(said, 1, true), tostring(err))
        end
        assert.equal(before, #names:questions())
    end)

    it("is given up when the time is up, with its sockets", function()
        local name = fresh({ A = { "127.0.0.1" }, silent = true })
        local err = failure(client_of(), name, { timeout = 0.05 })
        assert.equal("timeout", err.code)
        assert.equal("while resolving the name", err.stage)
        assert.truthy(tostring(err):find(("the time is up; %s: no answer yet from %s"):format(name, names.address), 1,
            true), tostring(err))
    end)
end)

describe("what name servers said", function()
    it("is remembered for as long as they said", function()
        virtual(function()
            local name = fresh({ A = { "127.0.0.1" }, AAAA = {}, ttl = 60, soa = 60 })
            local client = client_of()
            get(client, name)
            get(client, name)
            assert.equal(1, names:count(name))
            moonloop.sleep(61)
            get(client, name)
            assert.equal(2, names:count(name))
        end)
    end)

    it("is remembered within bounds", function()
        virtual(function()
            local client = client_of()
            local both = { A = { "127.0.0.1" }, AAAA = { "::1" } }
            local brief = fresh({ A = both.A, AAAA = both.AAAA, ttl = 0 })
            get(client, brief)
            get(client, brief)
            assert.equal(1, names:count(brief))
            moonloop.sleep(1.1)
            get(client, brief)
            assert.equal(2, names:count(brief))
            local long = fresh({ A = both.A, AAAA = both.AAAA, ttl = 86400 })
            get(client, long)
            moonloop.sleep(295)
            get(client, long)
            assert.equal(1, names:count(long))
            moonloop.sleep(10)
            get(client, long)
            assert.equal(2, names:count(long))
        end)
    end)

    it("is remembered for a short time when it was nothing", function()
        virtual(function()
            local client = client_of()
            local name = fresh({ rcode = 3, soa = 3600 })
            failure(client, name)
            moonloop.sleep(25)
            failure(client, name)
            assert.equal(1, names:count(name))
            moonloop.sleep(10)
            names:set({ [name] = LOCAL })
            assert.equal(200, get(client, name).status)
        end)
    end)

    it("is remembered without the family that nobody waited for", function()
        local name = fresh(LOCAL, { ["x.test"] = LOCAL })
        names:set({ [name .. "/A"] = LOCAL, [name .. "/AAAA"] = { silent = true } })
        local client = client_of()
        assert.equal(200, get(client, name).status)
        local again = get(client, name)
        assert.equal(1, names:count(name))
        assert.is_true(again.timing.dns < 0.04, "it waits for nobody")
    end)

    it("is not remembered for long when nobody could say", function()
        virtual(function()
            local client = client_of()
            local name = fresh({ rcode = 2 })
            failure(client, name)
            failure(client, name)
            local before = names:count(name)
            names:set({ [name] = LOCAL })
            moonloop.sleep(1.1)
            assert.equal(200, get(client, name).status)
            assert.equal(before + 1, names:count(name))
        end)
    end)

    it("is asked for a hundred names at a time", function()
        local zone, count = {}, 0
        local hold = names:held() .. "100"
        for i = 1, 103 do
            zone[("h%d.test"):format(i)] = { A = { "127.0.0.1" }, hold = hold }
        end
        names:set(zone)
        local client = http.client({ nameservers = { names.address }, connections = 200 })
        moonloop.scope(function(scope)
            for i = 1, 102 do
                scope:spawn(function()
                    assert.equal(200, get(client, ("h%d.test"):format(i)).status)
                    count = count + 1
                end)
            end
            process.wait_for("a hundred questions", function()
                moonloop.sleep(0.01)
                return names:count("h100.test") > 0
            end)
            local err = failure(client, "h103.test", { timeout = 0.05 })
            assert.matches("the time is up; h103.test: 100 other names are being asked for", tostring(err))
            process.write(hold, "")
        end)
        assert.equal(102, count)
        assert.equal(1, names:count("h102.test"))
        assert.equal(0, names:count("h103.test"))
    end)

    it("is asked once for all who wait, and one who leaves takes nothing from the others", function()
        local name = fresh({ A = { "127.0.0.1" }, hold = names:held() })
        local statuses = {}
        moonloop.scope(function(scope)
            local client, other = client_of(), client_of()
            local leaving = scope:spawn(get, client, name)
            for i = 1, 3 do
                scope:spawn(function()
                    statuses[i] = get(i == 1 and other or client, name).status
                end)
            end
            process.wait_for("the question", function()
                moonloop.sleep(0)
                return names:count(name) > 0
            end)
            leaving:cancel()
            names:release()
        end)
        assert.same({ 200, 200, 200 }, statuses)
        assert.equal(1, names:count(name))
    end)
end)
