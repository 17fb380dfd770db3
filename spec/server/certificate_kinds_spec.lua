--- Certificates with RSA and with ECDSA keys for one name: the client's signatures decide.

local certificates = require("spec.support.certificates")
local command = require("spec.support.command")
local process = require("spec.support.process")
local server = require("spec.support.server")
local tls = require("spec.support.tls")

local EC = { "-sigalgs", "ECDSA+SHA256:RSA-PSS+SHA256" }
local RSA = { "-sigalgs", "RSA-PSS+SHA256:RSA+SHA256" }

describe("certificates of two kinds", function()
    local directory

    setup(function()
        directory = tls.directory()
        certificates.issue(directory, "rsa", "DNS:shop.example,DNS:www.shop.example", { key = "rsa:2048" })
        certificates.issue(directory, "ec", "DNS:shop.example,DNS:www.shop.example")
        certificates.issue(directory, "wide", "DNS:*.wide.example,DNS:both.example", { key = "rsa:2048" })
        certificates.issue(directory, "narrow", "DNS:both.example")
        certificates.issue(directory, "later-rsa", "DNS:shop.example", { key = "rsa:2048" })
        certificates.issue(directory, "later-ec", "DNS:shop.example")
    end)
    teardown(function()
        command.remove(directory)
    end)
    after_each(server.clean)

    local function start(...)
        return server.start({ apps = { ["index.lua"] = tls.APP }, options = tls.words(directory, { ... }) })
    end

    ---The common name of what a client with these signatures is shown; nil: the handshake failed.
    local function shown(site, signatures, name, ...)
        local words = { "-servername", name, ... }
        if not name then
            words = { "-noservername", ... }
        end
        for _, word in ipairs(signatures) do
            words[#words + 1] = word
        end
        return (tls.handshake(site.port, unpack(words)):match("subject=CN ?= ?([^\n]+)"))
    end

    for _, version in ipairs({ "-tls1_2", "-tls1_3" }) do
        it("for one name are chosen between by what the client can check, with " .. version, function()
            local site = start("rsa", "ec")
            for _, name in ipairs({ "shop.example", "www.shop.example" }) do
                assert.equal("ec", shown(site, EC, name, version))
                assert.equal("rsa", shown(site, RSA, name, version))
            end
            assert.equal("ec", shown(site, EC, "unknown.example", version))
            assert.equal("rsa", shown(site, RSA, "unknown.example", version))
            assert.equal("ec", shown(site, EC, nil, version))
            assert.equal("rsa", shown(site, RSA, nil, version))
        end)
    end

    it("for names that differ serve each its own", function()
        local site = start("wide", "narrow", "ec")
        assert.equal("narrow", shown(site, EC, "both.example"))
        assert.equal("wide", shown(site, RSA, "both.example"))
        assert.equal("wide", shown(site, EC, "a.wide.example"))
        assert.equal("wide", shown(site, RSA, "a.wide.example"))
        assert.equal("ec", shown(site, EC, "shop.example"))
        assert.is_nil(shown(site, RSA, "shop.example", "-tls1_2")) -- no RSA one is for it
        assert.equal("wide", shown(site, EC, "unknown.example"))
    end)

    it("are both there after their files have changed, one or the other or both", function()
        local place = command.directory()
        local function put(name, as)
            process.write(place .. "/" .. as .. ".key", command.read(directory .. "/" .. name .. ".key"))
            process.write(place .. "/" .. as .. ".pem", command.read(directory .. "/" .. name .. ".pem"))
        end
        put("rsa", "one")
        put("ec", "two")
        local site = server.start({ apps = { ["index.lua"] = tls.APP },
            options = { "--workers", "1", "--certfile", place } })
        assert.same({ "ec", "rsa" }, { shown(site, EC, "shop.example"), shown(site, RSA, "shop.example") })
        local function wait_for(ec, rsa)
            process.wait_for(ec .. " and " .. rsa, function()
                return shown(site, EC, "shop.example") == ec and shown(site, RSA, "shop.example") == rsa
            end)
        end
        put("later-ec", "two")
        wait_for("later-ec", "rsa")
        put("later-rsa", "one")
        wait_for("later-ec", "later-rsa")
        site:call("reload", "--wait")
        wait_for("later-ec", "later-rsa")
        assert.equal(2, #site:status().certificates)
        command.remove(place)
    end)

    it("send the OCSP answer of the one that is shown", function()
        for _, name in ipairs({ "rsa", "ec" }) do
            process.write(directory .. "/" .. name .. ".index", "")
            local made = command.run({ "openssl", "ocsp", "-index", name .. ".index", "-CA", "ca.pem", "-rsigner",
                "ca.pem", "-rkey", "ca.key", "-issuer", "ca.pem", "-cert", name .. ".pem", "-ndays", "1", "-respout",
                name .. ".pem.ocsp" }, { cwd = directory })
            assert.equal(0, made.code, made.err)
        end
        local site = start("rsa", "ec")
        for _, signatures in ipairs({ EC, RSA }) do
            local name = signatures == EC and "ec" or "rsa"
            local printed = command.run({ "openssl", "x509", "-in", directory .. "/" .. name .. ".pem", "-noout",
                "-serial" }).out
            local serial = printed:match("serial=(%x+)")
            local said = tls.handshake(site.port, "-servername", "shop.example", "-status", unpack(signatures))
            assert.equal(serial, said:match("Serial Number: (%x+)"))
        end
    end)
end)
