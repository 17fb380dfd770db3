--- Which of several addresses the client takes, and when it goes to the next: happy eyeballs (RFC 8305).

local eventually = require("spec.support.tasks").eventually
local http = require("moonloop.http")
local moonloop = require("moonloop")
local nameserver = require("spec.support.nameserver")
local origin = require("spec.support.origin")
local process = require("spec.support.process")
local socket = require("socket")

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

---A client, and a URL whose name has these records.
local function named(entry, port, by_type)
    serial = serial + 1
    local name = ("d%d.test"):format(serial)
    local zone = { [name] = entry }
    for kind, other in pairs(by_type or {}) do
        zone[name .. "/" .. kind] = other
    end
    names:set(zone)
    return http.client({ nameservers = { names.address } }), ("http://%s:%d/echo"):format(name, port or server.port)
end

---A listener whose queue is full: the kernel answers nobody, as a firewall that drops does. To be closed.
local function black_hole(port)
    local sockets = { socket.tcp6() }
    local listener = sockets[1]
    listener:setoption("ipv6-v6only", true)
    assert(listener:bind("::1", port))
    assert(listener:listen(0))
    for _ = 1, 4 do
        local filler = socket.tcp6()
        filler:settimeout(0)
        filler:connect("::1", port)
        sockets[#sockets + 1] = filler
    end
    return function()
        for _, each in ipairs(sockets) do
            each:close()
        end
    end
end

local function sockets_open()
    local count = 0
    local list = io.popen("ls -l /proc/" .. require("posix.unistd").getpid() .. "/fd")
    for line in list:lines() do
        count = count + (line:find("socket:", 1, true) and 1 or 0)
    end
    list:close()
    return count
end

---The same once the clients of earlier specs are gone, which would be counted.
local function sockets_kept()
    collectgarbage()
    collectgarbage()
    moonloop.sleep(0) -- they close in the next turn
    moonloop.sleep(0)
    return sockets_open()
end

---Cancels a request once it has a socket more than `before`; waits until there are just so many again.
local function cancel_amid(client, url, before)
    moonloop.scope(function(scope)
        local task = scope:spawn(function()
            client:get(url)
        end)
        eventually(function()
            return sockets_open() > before
        end)
        task:cancel()
    end)
    eventually(function()
        return sockets_open() == before
    end)
end

describe("a name with several addresses", function()
    it("goes to the next one at once when one refuses", function()
        local client, url = named({ AAAA = { "::1" }, A = { "127.0.0.2", "127.0.0.1" } })
        local res = client:get(url)
        assert.equal(200, res.status)
        assert.is_true(res.timing.connect < 0.2)
    end)

    it("goes to IPv4 a quarter of a second after IPv6, when that does not answer", function()
        local close = black_hole(server.port)
        local client, url = named({ AAAA = { "::1" }, A = { "127.0.0.1" } })
        local before = sockets_kept()
        local res = client:get(url, { headers = { Connection = "close" } })
        assert.equal(200, res.status)
        assert.is_true(res.timing.connect >= 0.24 and res.timing.connect < 2, tostring(res.timing.connect))
        eventually(function()
            return sockets_open() == before
        end)
        local again = client:get(url, { headers = { Connection = "close" } })
        assert.is_true(again.timing.connect < 0.2, "it begins with the one that answered")
        close()
    end)

    it("takes IPv6 when that comes within 50 ms of IPv4, and does not wait longer", function()
        local client, url = named({ A = { "127.0.0.1" } }, nil, { AAAA = { AAAA = { "::1" }, hold = names:held() } })
        local res = client:get(url)
        assert.equal(200, res.status)
        assert.is_true(res.timing.dns >= 0.045 and res.timing.dns < 1, tostring(res.timing.dns))
        names:release()
    end)

    it("fails with every address and its reason", function()
        local port = server.port
        local client, url = named({ AAAA = { "::1" }, A = { "127.0.0.2", "127.0.0.3" } })
        local ok, err = pcall(client.get, client, url)
        assert.is_false(ok)
        assert.equal("refused", err.code)
        assert.equal(("GET %s: [::1]:%d: Connection refused; 127.0.0.2:%d: Connection refused; "
            .. "127.0.0.3:%d: Connection refused, while connecting"):format(url, port, port, port), tostring(err))
    end)

    it("closes what it had begun when its time is up or its task is cancelled", function()
        local close = black_hole(server.port)
        local before = sockets_kept()
        local client, url = named({ AAAA = { "::1" }, A = { "127.0.0.2" } })
        local ok, err = pcall(client.get, client, url, { timeout = 0.4 })
        assert.is_false(ok)
        assert.equal("timeout", err.code)
        assert.equal(("GET %s: the time is up; 127.0.0.2:%d: Connection refused; [::1]:%d: no answer, while connecting")
            :format(url, server.port, server.port), tostring(err))
        cancel_amid(client, url, before)
        close()
    end)

    it("leaves no socket behind when it is cancelled while its name is being asked for", function()
        local before = sockets_kept()
        local client, url = named({ A = { "127.0.0.1" }, silent = true })
        cancel_amid(client, url, before)
        assert.equal(0, client:stats().connections)
    end)
end)
