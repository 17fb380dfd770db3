--- The server's TLS over real sockets: handshakes, names, sessions, what comes in plain, clients' certificates.

local certificates = require("spec.support.certificates")
local command = require("spec.support.command")
local http = require("moonloop.http")
local json = require("moonloop.json")
local server = require("spec.support.server")
local tls = require("spec.support.tls")

describe("a server with certfile", function()
    local directory

    setup(function()
        directory = tls.directory()
    end)

    teardown(function()
        command.remove(directory)
    end)

    after_each(server.clean)

    local function start(words, options)
        local given = {
            "--workers", "1", "--certfile", directory .. "/good.pem", "--keyfile", directory .. "/good.key",
        }
        for _, word in ipairs(words or {}) do
            given[#given + 1] = word
        end
        options = options or {}
        options.apps, options.options = { ["index.lua"] = tls.APP }, given
        return server.start(options)
    end

    it("serves https, and says so to handlers", function()
        local site, client = start(), tls.client(directory)
        assert.matches("^https://127.0.0.1:%d+$", site.url)
        local seen = client:get(site.url .. "/"):json()
        assert.equal("https", seen.scheme)
        assert.same({ version = "TLSv1.3", cipher = seen.tls.cipher, protocol = "http/1.1", resumed = false }, seen.tls)
        assert.is_nil(seen.client)
        seen = client:get(("https://localhost:%d/thread"):format(site.port)):json()
        assert.equal("localhost", seen.tls.server_name)
        assert.equal("https", seen.scheme)
    end)

    it("carries large bodies both ways and requests behind each other", function()
        local site, client = start(), tls.client(directory)
        local body = ("0123456789abcdef"):rep(500000)
        assert.is_true(client:post(site.url .. "/echo", { body = body }):body() == body)
        for _ = 1, 3 do
            assert.equal(3000000, #client:get(site.url .. "/large"):body())
        end
        assert.equal(3, client:stats().reused)
        local result = command.run({ "curl", "-sS", "--max-time", "20", "--cacert", directory .. "/ca.pem", "-o",
            "/dev/null", "-w", "%{http_code} %{size_download}\n", site.url .. "/large", site.url .. "/large" })
        assert.equal("200 3000000\n", result.out:sub(1, 12), result.err)
        local pipelined = "GET / HTTP/1.1\nHost: x\n\nGET / HTTP/1.1\nHost: x\nConnection: close\n\n"
        result = command.run({ "timeout", "10", "openssl", "s_client", "-quiet", "-crlf", "-connect",
            "127.0.0.1:" .. site.port }, { input = pipelined })
        assert.equal(2, select(2, result.out:gsub("HTTP/1.1 200 OK", "")))
    end)

    it("speaks TLS 1.2 and 1.3 with ciphers that are safe, and nothing else", function()
        local site = start()
        assert.matches("Protocol *: TLSv1.2", tls.handshake(site.port, "-tls1_2"))
        assert.matches("New, TLSv1.3", tls.handshake(site.port, "-tls1_3"))
        for _, words in ipairs({
            { "-tls1_1", "-cipher", "DEFAULT:@SECLEVEL=0" }, { "-tls1_2", "-cipher", "AES128-SHA256" },
            { "-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-SHA" },
        }) do
            assert.matches("Cipher is %(NONE%)", tls.handshake(site.port, unpack(words)))
        end
    end)

    it("agrees on a protocol, or ends the handshake", function()
        local site = start()
        assert.matches("ALPN protocol: http/1.1", tls.handshake(site.port, "-alpn", "h2,http/1.1"))
        assert.matches("no application protocol", tls.handshake(site.port, "-alpn", "h2"))
        assert.matches("No ALPN negotiated", tls.handshake(site.port))
    end)

    it("does not renegotiate", function()
        local site = start()
        local result = command.run({ "sh", "-c", ("(echo R; sleep 0.3) | timeout 10 openssl s_client -tls1_2 -connect "
            .. "127.0.0.1:%d"):format(site.port) })
        assert.matches("no renegotiation", result.out .. result.err)
    end)

    it("chooses a certificate by the name that is asked for, the first when there is none", function()
        certificates.issue(directory, "shop", "DNS:shop.example")
        certificates.issue(directory, "wild", "DNS:*.wild.example")
        certificates.join(directory, "wild_both.pem", "wild.pem", "wild.key")
        certificates.join(directory, "good_both.pem", "good.pem", "good.key")
        certificates.join(directory, "shop_both.pem", "shop.pem", "shop.key")
        local site = server.start({ apps = { ["index.lua"] = tls.APP }, config = ([[
            return { workers = 1, certfile = { "DIR/good_both.pem", "DIR/shop_both.pem", "DIR/wild_both.pem" } }
        ]]):gsub("DIR", directory), options = {} })
        for name, expected in pairs({
            ["shop.example"] = "shop", ["SHOP.example"] = "shop", ["a.wild.example"] = "wild", localhost = "good",
            ["wild.example"] = "good", ["a.b.wild.example"] = "good", ["other.example"] = "good",
        }) do
            assert.equal(expected, tls.shown(site.port, name))
        end
        assert.equal("good", tls.shown(site.port))
        local result = command.run({ "curl", "-sS", "--max-time", "10", "--cacert", directory .. "/ca.pem", "--resolve",
            "shop.example:" .. site.port .. ":127.0.0.1", ("https://shop.example:%d/"):format(site.port) })
        assert.equal("shop.example", json.decode(result.out).tls.server_name)
    end)

    it("takes up a session of TLS 1.2 for the host that it was for, and no other (RFC 6066, 3)", function()
        certificates.issue(directory, "shop", "DNS:shop.example")
        local site = server.start({ apps = { ["index.lua"] = tls.APP },
            options = tls.words(directory, { "good", "shop" }) })
        local NOBODY = "-noservername"

        local function handshake(version, name, option)
            name = name == NOBODY and name or "-servername " .. name
            local words = ("timeout 10 openssl s_client -%s -ign_eof -connect 127.0.0.1:%d %s %s %s/session"):format(
                version, site.port, name, option, directory)
            local result = command.run({ "sh", "-c", words }, { input = "GET / HTTP/1.0\r\nHost: x\r\n\r\n" })
            return result.out .. result.err
        end

        ---Whether the session of a handshake for `first` is taken up in one for `second`, whose certificate shows, and
        ---whom the app is told.
        local function again(version, first, second)
            handshake(version, first, "-sess_out")
            local text = handshake(version, second, "-sess_in")
            return text:match("\n(%a+), TLSv1%.%d, Cipher"), text:match("subject=CN ?= ?([^\n]+)"),
                json.decode(text:match("\r\n\r\n(%b{})")).tls.server_name
        end

        for _, case in ipairs({
            { "tls1_2", "shop.example", "shop.example", "Reused", "shop", "shop.example" },
            { "tls1_2", "shop.example", "SHOP.example", "Reused", "shop", "shop.example" },
            { "tls1_2", "shop.example", "localhost", "New", "good", "localhost" },
            { "tls1_2", "localhost", "shop.example", "New", "shop", "shop.example" },
            { "tls1_2", "shop.example", "other.example", "New", "good", "other.example" },
            { "tls1_2", "shop.example", NOBODY, "New", "good" },
            { "tls1_2", NOBODY, NOBODY, "Reused", "good" },
            { "tls1_2", NOBODY, "other.example", "New", "good", "other.example" },
            { "tls1_2", NOBODY, "shop.example", "New", "shop", "shop.example" },
            -- There the name of the handshake counts (RFC 8446, 4.2.11); no certificate comes with a resumption.
            { "tls1_3", "shop.example", "localhost", "Reused", "shop", "localhost" },
        }) do
            local version, first, second, kind, shown, name = unpack(case)
            assert.same({ kind, shown, name }, { again(version, first, second) }, table.concat(case, " "))
        end
    end)

    it("ends the handshake of a client that names what can be no host, and goes on", function()
        local site = start()
        local function number(bytes, value) -- big-endian (RFC 8446, 3.3)
            return bytes == 0 and "" or number(bytes - 1, math.floor(value / 256)) .. string.char(value % 256)
        end
        local function sized(bytes, text) return number(bytes, #text) .. text end
        ---What a ClientHello of TLS 1.2 with these bytes as its server_name is answered: 22, or 21 and which alert.
        local function answered(server_name)
            local extensions = "\0\0" .. sized(2, server_name) .. "\0\10" .. sized(2, sized(2, "\0\29\0\23"))
                .. "\0\13" .. sized(2, sized(2, "\4\3\8\4")) .. "\0\11" .. sized(2, sized(1, "\0"))
            local hello = "\3\3" .. ("r"):rep(32) .. sized(1, "") .. sized(2, "\192\43\192\47") .. sized(1, "\0")
                .. sized(2, extensions)
            local connection = site:connect()
            connection:send("\22\3\1" .. sized(2, "\1" .. sized(3, hello)))
            local kind = connection:read_bytes(5):byte()
            local alert = kind == 21 and connection:read_bytes(2):byte(2) or nil
            connection:close()
            return kind, alert
        end
        local DECODE_ERROR, UNRECOGNIZED_NAME = 50, 112
        local function named(name) return sized(2, "\0" .. sized(2, name)) end
        assert.same({ 22 }, { answered(named("localhost")) })
        assert.same({ 22 }, { answered(named(("a"):rep(255))) })
        for _, name in ipairs({ ("a"):rep(256), ("a"):rep(15000), "localhost\0.example" }) do
            assert.same({ 21, UNRECOGNIZED_NAME }, { answered(named(name)) }, #name)
        end
        for _, bytes in ipairs({ "", "\0", "\0\3\0\255\255", ("\255"):rep(300), sized(2, "\1" .. sized(2, "x")) }) do
            assert.same({ 21, DECODE_ERROR }, { answered(bytes) }, #bytes)
        end
        assert.equal("good", tls.shown(site.port, "localhost"))
    end)

    it("serves all that is in a directory, also in the way of certbot", function()
        local live = directory .. "/live"
        for _, name in ipairs({ "a", "b", "c" }) do
            certificates.issue(directory, name, "DNS:" .. name .. ".example")
        end
        local function copy(from, to)
            command.write(live .. "/" .. to, command.read(directory .. "/" .. from))
        end
        command.write(live .. "/README", "This is not a certificate.\n")
        copy("a.pem", "a.example/fullchain.pem")
        copy("a.key", "a.example/privkey.pem")
        copy("b.pem", "b.crt")
        copy("b.key", "b.key")
        command.write(live .. "/c.pem", command.read(directory .. "/c.pem") .. command.read(directory .. "/c.key"))
        local site = server.start({ apps = { ["index.lua"] = tls.APP },
            options = { "--workers", "1", "--certfile", live } })
        for _, name in ipairs({ "a", "b", "c" }) do
            assert.equal(name, tls.shown(site.port, name .. ".example"))
        end
    end)

    it("takes up a session with any of its workers, also after they were replaced", function()
        local site, client = start({ "--workers", "4" }), tls.client(directory)
        local function ask()
            return client:get(site.url .. "/", { headers = { Connection = "close" } }):json().tls.resumed
        end
        assert.is_false(ask())
        for _ = 1, 30 do
            assert.is_true(ask())
        end
        local pids = site:worker_pids()
        for _, pid in ipairs(pids) do
            require("spec.support.process").kill(pid, "TERM")
        end
        site:wait_status("other workers", function(status)
            for _, worker in ipairs(status.workers) do
                for _, pid in ipairs(pids) do
                    if worker.pid == pid or worker.state ~= "serving" then
                        return false
                    end
                end
            end
            return #status.workers == 4
        end)
        for _ = 1, 10 do
            assert.is_true(ask())
        end
        assert.equal(40, client:stats().resumed)
    end)

    it("takes sessions of TLS 1.2 up again as well", function()
        local site = start()
        local result = tls.handshake(site.port, "-tls1_2", "-reconnect")
        assert.equal(5, select(2, result:gsub("Reused, TLSv1.2", "")))
    end)

    it("staples the OCSP answer that lies beside the certificate", function()
        local site = start()
        assert.matches("OCSP response: no response sent", tls.handshake(site.port, "-status"))
        site:stop()
        command.write(directory .. "/ocsp.index", "")
        local made = command.run({ "openssl", "ocsp", "-index", "ocsp.index", "-rsigner", "ca.pem", "-rkey", "ca.key",
            "-CA", "ca.pem", "-issuer", "ca.pem", "-cert", "good.pem", "-noverify", "-respout", "good.pem.ocsp" },
            { cwd = directory })
        assert.equal(0, made.code, made.err)
        site = start()
        local result = tls.handshake(site.port, "-status")
        os.remove(directory .. "/good.pem.ocsp")
        assert.matches("OCSP Response Status: successful", result)
    end)

    it("answers a plain request on its port with what to do instead", function()
        local site = start()
        local response = site:get("/large?x=1")
        assert.equal(400, response.status)
        assert.equal("this port speaks https, and the request came in plain http: ask "
            .. ("https://localhost:%d/large?x=1\n"):format(site.port), response.body)
        assert.matches("^HTTP/1.1 400 ", site:raw("GET  / HTTP/9\r\n\r\n"))
        assert.matches("^HTTP/1.1 400 .*plain http\n$", site:raw("GET / HTTP/1.0\r\n\r\n"))
        assert.equal("", (site:raw("\1\2\3 this is neither\r\n\r\n"):gsub("^\21.*", "")))
        assert.equal(200, tls.client(directory):get(site.url .. "/").status)
    end)

    it("sends plain requests to redirect_bind on to https", function()
        local site = start({ "--redirect-bind", "127.0.0.1:0" })
        local plain = site.urls[2]
        assert.matches("^http://127.0.0.1:%d+$", plain)
        local client = http.client({})
        local res = client:get(plain .. "/large?a=b", { redirects = 0 })
        assert.equal(301, res.status)
        assert.equal(("https://127.0.0.1:%d/large?a=b"):format(site.port), res.headers.location)
        res = client:post(plain .. "/echo", { body = "x", redirects = 0 })
        assert.equal(308, res.status)
        assert.equal("hello", tls.client(directory):post(plain .. "/echo", { body = "hello" }):body())
        assert.matches("^HTTP/1.1 400 .*names no host\n$",
            server.connect("127.0.0.1", tonumber(plain:match("%d+$"))):send("") and (function()
                local connection = server.connect("127.0.0.1", tonumber(plain:match("%d+$")))
                connection:send("GET / HTTP/1.0\r\n\r\n")
                return connection:read_all()
            end)())
    end)

    it("tells browsers to stay with https when hsts is set, unless a handler does", function()
        local site, client = start({ "--hsts", "3600" }), tls.client(directory)
        assert.equal("max-age=3600", client:get(site.url .. "/").headers["strict-transport-security"])
        assert.equal("max-age=3600", client:get(site.url .. "/nothing").headers["strict-transport-security"])
        assert.equal("max-age=7", client:get(site.url .. "/own").headers["strict-transport-security"])
        assert.is_nil(site:get("/").headers["strict-transport-security"]) -- in plain: RFC 6797, 7.2
        site:stop()
        site = start()
        assert.is_nil(client:get(site.url .. "/").headers["strict-transport-security"])
    end)

    it("gives a handshake as long as a head", function()
        local site = start({ "--header-timeout", "0.2" })
        for _, bytes in ipairs({ "", "\22", "\22\3\1\0\200\1\0" }) do
            local connection = site:connect()
            connection:send(bytes)
            assert.equal("", connection:read_all())
            connection:close()
        end
        local connection = site:connect()
        connection:send("GET / HT")
        assert.matches("^HTTP/1.1 408 ", connection:read_all())
    end)

    it("keeps Unix sockets plain: who connects there is on the machine", function()
        local site = start({ "--bind", "unix:" .. directory .. "/site.sock" })
        local connection = server.connect("unix:" .. directory .. "/site.sock")
        local seen = json.decode(connection:request("GET", "/").body)
        assert.equal("http", seen.scheme)
        assert.is_nil(seen.tls)
        connection:close()
        assert.equal(200, tls.client(directory):get(site.url .. "/").status)
    end)

    it("finishes what is under way when it stops, with a goodbye", function()
        local site, client = start(), tls.client(directory)
        local moonloop = require("moonloop")
        local res, stopped = moonloop.gather(function()
            return client:get(site.url .. "/slow")
        end, function()
            moonloop.sleep(0.05)
            site:signal("TERM")
            return true
        end)
        assert.is_true(stopped)
        assert.equal("slow", res:body())
        assert.equal("close", res.headers.connection)
    end)
end)
