--- Which certificates https accepts, which not, and what it says; certificates of the client's own.

local certificates = require("spec.support.certificates")
local command = require("spec.support.command")
local http = require("moonloop.http")
local origin = require("spec.support.origin")

describe("the certificate of a server", function()
    local directory, client

    setup(function()
        directory = certificates.authority()
        client = http.client({ ca_file = directory .. "/ca.pem" })
    end)

    teardown(function()
        client = nil
        command.remove(directory)
    end)

    ---Serves with a certificate while `body` runs, which gets the origin.
    local function serving(certificate, key, options, body)
        local server = origin.start(certificate, key, options)
        local ok, err = pcall(body, server)
        server:stop()
        if not ok then
            error(err, 0)
        end
    end

    local function refusal(url, with)
        local ok, err = pcall(with.get, with, url)
        assert.is_false(ok)
        assert.equal("tls", err.code)
        return tostring(err)
    end

    local function issue(name, alternatives, options)
        return certificates.issue(directory, name, alternatives, options)
    end

    local LOCAL = "DNS:localhost,IP:127.0.0.1"

    for what, case in pairs({
        ["that has expired is refused with its date"] = {
            "expired", LOCAL, { dates = { "20200101000000Z", "20200203040506Z" } },
            "the certificate was refused: it expired on 2020-02-03 04:05:06 UTC; it has to be renewed (here it is 20",
        },
        ["that is not valid yet is refused with its date"] = {
            "early", LOCAL, { dates = { "21000101000000Z", "21000203040506Z" } },
            "it is not valid before 2100-01-01 00:00:00 UTC; is the clock right here (20",
        },
        ["that is for others is refused with their names"] = {
            "wrong", "DNS:other.example,DNS:*.more.example,IP:10.0.0.1", {},
            "it is for other.example, *.more.example, 10.0.0.1, not for 127.0.0.1",
        },
        ["that names nobody is refused, whatever its subject says"] = {
            "127.0.0.1", nil, {}, "it names no host (subjectAltName), so it is not for 127.0.0.1",
        },
        ["that signed itself is refused"] = {
            "own", LOCAL, { is_self_signed = true },
            "it is self-signed; if it is known to be right, ca_file can name it as trusted",
        },
        ["whose key is short is refused"] = {
            "short", LOCAL, { key = "rsa:1024" }, "it has a key of 1024 bits, too short to be safe (RSA: 2048 or more)",
        },
    }) do
        it(what, function()
            local certificate, key = issue(case[1], case[2], case[3])
            serving(certificate, key, "weak", function(server)
                local said = refusal(server.url .. "/echo", client)
                assert.is_truthy(said:find(case[4], 1, true), said)
                assert.matches("in the TLS handshake", said)
                assert.equal(0, client:stats().connections)
                if case[1] ~= "short" then
                    assert.equal(200, http.client({ verify = false }):get(server.url .. "/echo").status)
                end
            end)
        end)
    end

    it("of an authority that nobody knows is refused with its name", function()
        local certificate, key = issue("good", LOCAL)
        serving(certificate, key, nil, function(server)
            local said = refusal(server.url .. "/", http.client())
            assert.is_truthy(said:find('it was issued by "spec CA", which is not among the trusted authorities', 1,
                true), said)
        end)
    end)

    it("needs its intermediate certificate beside it", function()
        issue("middle", nil, { is_authority = true })
        local certificate, key = issue("leaf", LOCAL, { issuer = "middle" })
        serving(certificate, key, nil, function(server)
            local said = refusal(server.url .. "/", client)
            assert.is_truthy(said:find('issued by "middle", which is not among the trusted authorities; the server '
                .. "sends no intermediate certificate", 1, true), said)
        end)
        serving(certificates.join(directory, "chain.pem", "leaf.pem", "middle.pem"), key, nil, function(server)
            assert.equal(200, client:get(server.url .. "/echo").status)
        end)
    end)

    it("is for the addresses and names in it, and a star in it for a whole label alone", function()
        local certificate, key = issue("star", "DNS:*,DNS:local*,DNS:*.localhost,IP:127.0.0.1")
        serving(certificate, key, nil, function(server)
            assert.equal(200, client:get(server.url .. "/echo").status)
            assert.matches("not for localhost", refusal(("https://localhost:%d/"):format(server.port), client))
        end)
    end)

    it("is checked against SSL_CERT_FILE, SSL_CERT_DIR or what the system has; says when that is nothing", function()
        local certificate, key = issue("named", LOCAL)
        command.write(directory .. "/get.lua", [[
            local http = require("moonloop.http")
            local ok, err = pcall(http.get, arg[1])
            print(ok, not ok and err.message or "")
        ]])
        serving(certificate, key, nil, function(server)
            local function get(env)
                local result = command.call({ "run", directory .. "/get.lua", server.url .. "/echo" }, { env = env })
                return result.out .. result.err
            end
            local hashed = directory .. "/hashed"
            command.write(hashed .. "/ca.pem", command.read(directory .. "/ca.pem"))
            command.run({ "openssl", "rehash", hashed })
            assert.matches("^true", get({ SSL_CERT_FILE = directory .. "/ca.pem" }))
            assert.matches("^true", get({ SSL_CERT_DIR = hashed }))
            assert.matches("spec CA", get({}))
            assert.matches("SSL_CERT_FILE names /nonexistent.pem: No such file or directory",
                get({ SSL_CERT_FILE = "/nonexistent.pem" }), 1, true)
            assert.matches("SSL_CERT_DIR names .* no certificates under their hashes; openssl rehash",
                get({ SSL_CERT_DIR = directory }))
        end)
    end)
end)

describe("a system without authorities", function()
    -- A file system of its own, in which /etc/ssl is empty: root alone can have that.
    local function without(words)
        return { "unshare", "-m", "sh", "-c", "mount -t tmpfs none /etc/ssl && " .. words }
    end
    local can = command.run(without("true")).code == 0 and it or pending
    local UNSET = { SSL_CERT_FILE = false, SSL_CERT_DIR = false }

    local directory, server
    setup(function()
        directory = certificates.authority()
        server = origin.start(certificates.issue(directory, "good", "IP:127.0.0.1"))
        command.write(directory .. "/get.lua", [[
            local ok, res = pcall(require("moonloop.http").get, arg[1])
            print(ok, ok and res.status or res.message)
        ]])
    end)

    teardown(function()
        server:stop()
        command.remove(directory)
    end)

    local function get(before)
        local words = before .. command.moonloop .. " run " .. directory .. "/get.lua " .. server.url .. "/echo"
        return command.run(without(words), { env = UNSET }).out
    end

    can("says what to install", function()
        assert.matches("this system has no certificate authorities to check servers against: install the package "
            .. "ca%-certificates, or set SSL_CERT_FILE", get(""))
    end)

    can("has them where another distribution has its own", function()
        assert.equal("true\t200\n", get("cp " .. directory .. "/ca.pem /etc/ssl/ca-bundle.pem && "))
    end)
end)

describe("a client's own certificate", function()
    local directory, server

    setup(function()
        directory = certificates.authority()
        certificates.issue(directory, "me")
        certificates.join(directory, "both.pem", "me.pem", "me.key")
        local certificate, key = certificates.issue(directory, "good", "IP:127.0.0.1")
        server = origin.start(certificate, key, "client_ca=" .. directory .. "/ca.pem")
    end)

    teardown(function()
        server:stop()
        command.remove(directory)
    end)

    local function file(name)
        return directory .. "/" .. name
    end

    it("is shown to a server that wants one, from two files or one", function()
        local two = http.client({ ca_file = file("ca.pem"), cert_file = file("me.pem"), key_file = file("me.key") })
        assert.equal("TLSv1.3 new - me", two:get(server.url .. "/tls"):body())
        local one = http.client({ ca_file = file("ca.pem"), cert_file = file("both.pem") })
        assert.equal("TLSv1.3 new - me", one:get(server.url .. "/tls"):body())
    end)

    it("is missed by such a server, and the error says so", function()
        local ok, err = pcall(function()
            return http.client({ ca_file = file("ca.pem") }):get(server.url .. "/tls")
        end)
        assert.is_false(ok)
        assert.equal("tls", err.code)
        assert.matches("the server wants a client certificate: give the client cert_file and key_file", err.message)
    end)

    it("comes from files that can be used, or the client is not made", function()
        certificates.issue(directory, "other")
        command.write(file("empty.pem"), "")
        command.write(file("text.pem"), "hello\n")
        command.run({ "openssl", "pkey", "-in", file("me.key"), "-aes256", "-passout", "pass:x", "-out",
            file("locked.key") })
        for _, case in ipairs({
            { "none.pem", "me.key", "none.pem: No such file or directory" },
            { "empty.pem", "me.key", "empty.pem: the file is empty" },
            { "text.pem", "me.key", "text.pem: holds no certificate in PEM form" },
            { "me.pem", "other.key", "other.key: the key does not belong to the certificate in " .. file("me.pem") },
            { "me.pem", "locked.key", "locked.key: the key is encrypted with a password" },
            { "me.pem", "text.pem", "text.pem: holds no private key in PEM form" },
            { "me.pem", nil, "is the key in a file of its own?" },
        }) do
            local ok, err = pcall(http.client, { cert_file = file(case[1]), key_file = case[2] and file(case[2]) })
            assert.is_false(ok)
            assert.equal("tls", err.code)
            assert.is_truthy(tostring(err):find(case[3], 1, true), tostring(err))
        end
        assert.has_error(function()
            http.client({ key_file = file("me.key") })
        end)
    end)
end)
