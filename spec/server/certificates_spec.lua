--- Certificates of a server that runs: changed, broken, asked of clients; and what is said of bad ones.

local certificates = require("spec.support.certificates")
local command = require("spec.support.command")
local process = require("spec.support.process")
local server = require("spec.support.server")
local tls = require("spec.support.tls")

describe("a server's certificates", function()
    local directory

    before_each(function()
        directory = tls.directory()
    end)

    after_each(function()
        server.clean()
        command.remove(directory)
    end)

    local function file(name)
        return directory .. "/" .. name
    end

    local function start(words)
        local given = { "--workers", "2", "--certfile", file("good.pem"), "--keyfile", file("good.key") }
        for _, word in ipairs(words or {}) do
            given[#given + 1] = word
        end
        return server.start({ apps = { ["index.lua"] = tls.APP }, options = given })
    end

    ---Puts other files in the place of good.pem and good.key.
    local function replace(name)
        process.write(file("good.key"), command.read(file(name .. ".key")))
        process.write(file("good.pem"), command.read(file(name .. ".pem")))
    end

    it("are taken over when their files change, and connections go on", function()
        local site, client = start(), tls.client(directory)
        local url = ("https://localhost:%d/large"):format(site.port)
        local res = client:get(url) -- its body is on its way while they change
        certificates.issue(directory, "next", "DNS:localhost")
        replace("next")
        site:wait_log("the certificates have changed: new connections get the new ones")
        assert.equal(3000000, #res:body())
        assert.equal(3000000, #client:get(url):body())
        assert.equal(1, client:stats().reused)
        process.wait_for("the new certificate in all workers", function()
            for _ = 1, 8 do
                if tls.shown(site.port) ~= "next" then
                    return false
                end
            end
            return true
        end)
        assert.equal(2, #site:worker_pids())
    end)

    it("stay when the new ones cannot be used, and that is said once for each change", function()
        local site = start()
        certificates.issue(directory, "other", "DNS:localhost")
        process.write(file("good.pem"), command.read(file("other.pem")))
        local log = site:wait_log("the certificates have changed and cannot be used, the ones before stay: tls: ")
        assert.is_truthy(log:find("good.key: the key does not belong to the certificate in " .. file("good.pem"), 1,
            true), log)
        assert.equal("good", tls.shown(site.port))
        process.write(file("good.pem"), "nonsense\n")
        log = site:wait_log("holds no certificate in PEM form")
        assert.equal(2, select(2, log:gsub("cannot be used", "")))
        assert.equal("good", tls.shown(site.port))
        replace("other")
        site:wait_log("new connections get the new ones")
        assert.equal("other", tls.shown(site.port))
    end)

    it("are read anew at HUP with the configuration, which stays as it was when they cannot be", function()
        certificates.issue(directory, "next", "DNS:localhost")
        local function config(name)
            return ("return { workers = 1, certfile = %q, keyfile = %q }"):format(file(name .. ".pem"),
                file(name .. ".key"))
        end
        local site = server.start({ apps = { ["index.lua"] = tls.APP }, config = config("good"), options = {} })
        process.write(site.dir .. "/moonloop.conf.lua", config("next"))
        site:signal("HUP")
        process.wait_for("the other certificate", function()
            return tls.shown(site.port) == "next"
        end)
        process.write(site.dir .. "/moonloop.conf.lua", config("nothing"))
        site:signal("HUP")
        site:wait_log("the configuration stays as it was: tls: ")
        assert.equal("next", tls.shown(site.port))
        process.write(site.dir .. "/moonloop.conf.lua", "return { workers = 1 }")
        site:signal("HUP")
        site:wait_log("certfile: TLS is switched on and off only with a restart")
        assert.equal("next", tls.shown(site.port))
    end)

    it("are those of the new workers as well, with a reload in between", function()
        local site, client = start(), tls.client(directory)
        certificates.issue(directory, "next", "DNS:localhost,IP:127.0.0.1")
        replace("next")
        site:wait_log("new connections get the new ones")
        local old = site:worker_pids()
        assert.equal(0, site:call("reload", "--wait").code)
        process.kill(old[1], "KILL")
        site:wait_status("a successor", function()
            local pids = site:worker_pids()
            return #pids == 2 and pids[1] ~= old[1]
        end)
        for _ = 1, 8 do
            assert.equal("next", tls.shown(site.port))
        end
        assert.equal(200, client:get(site.url .. "/").status)
    end)

    local as_root = require("posix.unistd").geteuid() == 0 and it or pending
    as_root("are read with the master's rights, before and after workers have dropped theirs", function()
        local site = start({ "--user", "nobody", "--group", "nogroup" })
        certificates.issue(directory, "next", "DNS:localhost")
        command.run({ "chmod", "700", directory })
        command.run({ "chmod", "600", file("good.key"), file("next.key") })
        assert.equal("good", tls.shown(site.port))
        replace("next")
        command.run({ "chmod", "600", file("good.key") })
        site:wait_log("new connections get the new ones")
        process.kill(site:worker_pids()[1], "KILL")
        process.wait_for("a successor", function()
            return #site:worker_pids() == 2
        end)
        for _ = 1, 6 do
            assert.equal("next", tls.shown(site.port))
        end
    end)

    it("are there after an upgrade of the binary, on the same sockets", function()
        local site, client = start({ "--redirect-bind", "127.0.0.1:0" }), tls.client(directory)
        local redirects = site.urls[2]
        assert.equal(200, client:get(site.url .. "/").status)
        certificates.issue(directory, "next", "DNS:localhost,IP:127.0.0.1")
        replace("next")
        local upgraded = site:call("upgrade")
        assert.equal(0, upgraded.code, upgraded.err)
        process.wait_for("the new certificate in all workers", function()
            return tls.shown(site.port) == "next" and tls.shown(site.port) == "next"
        end)
        assert.equal("https", client:get(site.url .. "/"):json().scheme)
        assert.equal(301, client:get(redirects .. "/", { redirects = 0 }).status)
    end)

    it("are tried before an upgrade, which is refused when they cannot be used", function()
        local site = start()
        process.write(file("good.pem"), "nonsense\n")
        local refused = site:call("upgrade")
        assert.is_not.equal(0, refused.code)
        assert.matches("good.pem: holds no certificate in PEM form", refused.err .. refused.out)
        assert.equal("good", tls.shown(site.port))
    end)

    it("that cannot be used keep the server from starting, with the file and the reason", function()
        certificates.issue(directory, "other", "DNS:localhost")
        command.write(file("empty/nothing.txt"), "x")
        process.write(file("text.pem"), "text\n")
        for _, case in ipairs({
            { { file("none.pem") }, "none.pem: No such file or directory" },
            { { file("good.pem"), file("other.key") },
                "other.key: the key does not belong to the certificate in " .. file("good.pem") },
            { { file("good.pem") }, "good.pem: holds no private key in PEM form" },
            { { file("text.pem"), file("good.key") },
                'text.pem: holds no certificate in PEM form ("BEGIN CERTIFICATE")' },
            { { file("empty") }, "empty: holds no certificate: expected NAME.pem with NAME.key, or directories" },
            { { file("good.pem"), file("good.key"), file("text.pem") }, "text.pem: holds no certificate in PEM form" },
        }) do
            local words = { "--certfile", case[1][1] }
            for i, flag in ipairs({ "--keyfile", "--ca-certs" }) do
                if case[1][i + 1] then
                    words[#words + 1] = flag
                    words[#words + 1] = case[1][i + 1]
                end
            end
            command.write(file("apps/index.lua"), tls.APP)
            local served = command.call({ "serve", file("apps"), "--bind", "127.0.0.1:0", unpack(words) })
            assert.equal(1, served.code)
            assert.is_truthy(served.err:find(case[2], 1, true), served.err)
            local environment = {
                MOONLOOP_CERTFILE = words[2], MOONLOOP_KEYFILE = words[4], MOONLOOP_CA_CERTS = words[6],
            }
            local checked = command.call({ "check", file("apps") }, { env = environment })
            assert.equal(1, checked.code)
            assert.is_truthy(checked.out:find(case[2], 1, true), checked.out)
        end
        local checked = command.call({ "check", file("apps") },
            { env = { MOONLOOP_CERTFILE = file("good.pem"), MOONLOOP_KEYFILE = file("good.key") } })
        assert.equal(0, checked.code, checked.out)
    end)

    it("are in the status, with the days that are left", function()
        certificates.issue(directory, "old",
            "DNS:a.example,DNS:b.example,IP:::1,DNS:d.example,DNS:e.example,DNS:f.example",
            { dates = { "20200101000000Z", "20200102000000Z" }, key = "rsa:2048" })
        local site = start({ "--certfile", file("old.pem"), "--keyfile", file("old.key") })
        local listed = site:status().certificates
        assert.equal(2, #listed)
        assert.equal(file("good.pem"), listed[1].file)
        assert.equal("EC prime256v1", listed[1].key)
        assert.equal("CN=spec CA", listed[1].issuer)
        assert.same({ "localhost", "127.0.0.1" }, listed[1].names)
        assert.is_true(listed[1].days_left > 1.9 and listed[1].days_left <= 2)
        assert.is_true(math.abs(listed[1].not_after - os.time() - 2 * 86400) < 100)
        local printed = command.run({ "openssl", "x509", "-in", file("good.pem"), "-noout", "-fingerprint", "-sha256",
            "-serial" }).out
        assert.equal(printed:match("Fingerprint=([%x:]+)"):gsub(":", ""):lower(), listed[1].fingerprint)
        assert.equal(printed:match("serial=(%x+)"), listed[1].serial)
        assert.is_true(listed[2].days_left < -365)
        local text = site:call("status").out
        assert.is_truthy(text:find(("tls       %s: EC prime256v1, localhost, 127.0.0.1, until %s (2 days)\n"):format(
            file("good.pem"), os.date("!%Y-%m-%d", listed[1].not_after)), 1, true), text)
        assert.is_truthy(text:find(("tls       %s: RSA 2048, a.example, b.example, ::1, d.example, e.example and"
            .. " 1 more, has expired on 2020-01-02\n"):format(file("old.pem")), 1, true), text)
        certificates.issue(directory, "next", "DNS:localhost")
        replace("next")
        site:wait_log("new connections get the new ones")
        assert.same({ "localhost" }, site:status().certificates[1].names)
        server.clean()
        assert.same({}, server.start({ apps = { ["index.lua"] = tls.APP } }):status().certificates)
    end)

    it("are warned of when they expire within two weeks, have expired, or are not valid yet", function()
        local function dates(first, last)
            return { dates = { os.date("!%Y%m%d%H%M%SZ", os.time() + first * 86400),
                os.date("!%Y%m%d%H%M%SZ", os.time() + last * 86400) } }
        end
        certificates.issue(directory, "soon", "DNS:a.example", dates(-1, 13.9))
        certificates.issue(directory, "later", "DNS:b.example", dates(-1, 14.1))
        certificates.issue(directory, "ahead", "DNS:c.example", dates(1, 100))
        local log = start({ "--certfile", file("soon.pem"), "--keyfile", file("soon.key"), "--certfile",
            file("later.pem"), "--keyfile", file("later.key"), "--certfile", file("ahead.pem"), "--keyfile",
            file("ahead.key") }):log()
        assert.matches("good.pem: the certificate expires in 2.0 days", log, 1, true)
        assert.matches("soon.pem: the certificate expires in 13.9 days", log, 1, true)
        assert.matches("ahead.pem: the certificate is valid only in 1.0 days; clients will refuse it", log, 1, true)
        assert.is_nil(log:find("later.pem: the", 1, true))
    end)

    it("that have expired are served, with a warning", function()
        certificates.issue(directory, "old", "IP:127.0.0.1", { dates = { "20200101000000Z", "20200102000000Z" } })
        replace("old")
        local site = start()
        site:wait_log("good.pem: the certificate has expired; clients will refuse it")
    end)
end)

describe("certificates of clients", function()
    local directory

    setup(function()
        directory = tls.directory()
        certificates.issue(directory, "ann", "email:ann@example.org,DNS:ann.example")
    end)

    teardown(function()
        command.remove(directory)
    end)

    after_each(server.clean)

    local function start(...)
        return server.start({ apps = { ["index.lua"] = tls.APP },
            options = tls.words(directory, { "good" }, "--ca-certs", directory .. "/ca.pem", ...) })
    end

    local function ann()
        return tls.client(directory, { cert_file = directory .. "/ann.pem", key_file = directory .. "/ann.key" })
    end

    it("are required with ca_certs, and handlers see whose they are", function()
        local site, client = start(), ann()
        for _, path in ipairs({ "/", "/thread" }) do
            local seen = client:get(site.url .. path):json().client
            assert.equal("CN=ann", seen.subject)
            assert.equal("ann", seen.common_name)
            assert.equal("CN=spec CA", seen.issuer)
            assert.same({ "ann@example.org", "ann.example" }, seen.names)
            assert.is_true(seen.not_before <= os.time() and seen.not_after > os.time())
            local printed = command.run({ "openssl", "x509", "-in", directory .. "/ann.pem", "-noout", "-fingerprint",
                "-sha256", "-serial" }).out
            assert.equal(printed:match("Fingerprint=([%x:]+)"):gsub(":", ""):lower(), seen.fingerprint)
            assert.equal(printed:match("serial=(%x+)"), seen.serial)
        end
        local closing = { headers = { Connection = "close" } }
        local taken_up = client:get(site.url .. "/", closing) and client:get(site.url .. "/", closing):json()
        assert.is_true(taken_up.tls.resumed)
        assert.equal("ann", taken_up.client.common_name)
    end)

    it("are missed, or refused when another authority has signed them, in words", function()
        local site = start("--loglevel", "debug")
        local ok, err = pcall(function()
            return tls.client(directory):get(site.url .. "/")
        end)
        assert.is_false(ok)
        assert.matches("the server wants a client certificate", err.message)
        local own = certificates.issue(directory, "own", "DNS:own.example", { is_self_signed = true })
        ok, err = pcall(function()
            return tls.client(directory, { cert_file = own, key_file = directory .. "/own.key" }):get(site.url .. "/")
        end)
        assert.is_false(ok)
        assert.equal("tls", err.code)
        site:wait_log("a TLS handshake failed: the certificate was refused: it is self-signed")
    end)

    it("may be left out with cert_reqs = optional, or are not asked for", function()
        local site = start("--cert-reqs", "optional")
        assert.is_nil(tls.client(directory):get(site.url .. "/"):json().client)
        assert.equal("ann", ann():get(site.url .. "/"):json().client.common_name)
        site:stop()
        site = start("--cert-reqs", "0")
        assert.is_nil(ann():get(site.url .. "/"):json().client)
    end)
end)
