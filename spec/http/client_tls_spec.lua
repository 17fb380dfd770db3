--- https against servers with certificates of a private authority.

local certificates = require("spec.support.certificates")
local command = require("spec.support.command")
local http = require("moonloop.http")
local moonloop = require("moonloop")
local origin = require("spec.support.origin")

describe("https", function()
    local directory, good, client

    setup(function()
        directory = certificates.authority()
        good = origin.start(certificates.issue(directory, "good", "DNS:localhost,IP:127.0.0.1"))
        client = http.client({ ca_file = directory .. "/ca.pem" })
    end)

    teardown(function()
        client = nil
        good:stop()
        command.remove(directory)
    end)

    local function refusal(url)
        local ok, err = pcall(client.get, client, url)
        assert.is_false(ok)
        assert.equal("tls", err.code)
        assert.equal(0, client:stats().connections - client:stats().idle)
        return tostring(err)
    end

    it("verifies an authority of one's own, by name and by address, and keeps connections", function()
        assert.equal(200, client:get(good.url .. "/echo").status)
        local res = client:get(("https://localhost:%d/echo"):format(good.port))
        assert.equal(200, res.status)
        assert.is_true(res.timing.tls > 0)
        assert.is_nil(client:get(good.url .. "/echo").timing.tls)
        assert.equal(2, client:stats().idle)
    end)

    it("carries large bodies both ways, and holds the server back", function()
        local body = ("0123456789abcdef"):rep(128 * 1024)
        local text = client:post(good.url .. "/echo", { body = body }):body()
        assert.is_true(text:sub(-#body) == body)
        local total = 0
        for chunk in client:get(good.url .. "/sized/8000000"):chunks() do
            assert.is_true(#chunk <= 400 * 1024)
            total = total + #chunk
        end
        assert.equal(8000000, total)
    end)

    it("is told from a body that was cut", function()
        local wire = "HTTP/1.1 200 OK\r\n\r\nhello"
        assert.equal("hello", client:get(good:reply(wire, "close")):body())
        local ok, err = pcall(function()
            return client:get(good:reply(wire, "cut")):body()
        end)
        assert.is_false(ok)
        assert.equal("closed", err.code)
    end)

    it("refuses what cannot be verified, and says why", function()
        for name, case in pairs({
            expired = { "DNS:localhost,IP:127.0.0.1", { days = -1 }, "expired" },
            wrong = { "DNS:other.example", {}, "IP address mismatch" },
            own = { "IP:127.0.0.1", { is_self_signed = true }, "self%-signed" },
        }) do
            local server = origin.start(certificates.issue(directory, name, case[1], case[2]))
            assert.matches("the certificate was refused: .*" .. case[3] .. ".* in the TLS handshake",
                refusal(server.url .. "/echo"))
            assert.equal(200, http.client({ verify = false }):get(server.url .. "/echo").status)
            if name == "wrong" then
                assert.matches("hostname mismatch", refusal(("https://localhost:%d/"):format(server.port)))
            end
            server:stop()
        end
        local ok, err = pcall(http.get, good.url .. "/echo") -- the system does not know our authority
        assert.is_false(ok)
        assert.equal("tls", err.code)
    end)

    it("refuses a server that speaks no TLS", function()
        local plain = origin.start()
        refusal(("https://127.0.0.1:%d/"):format(plain.port))
        plain:stop()
    end)

    it("has the handshake under its deadline", function()
        local listener = require("socket").bind("127.0.0.1", 0) -- never accepts
        local _, port = listener:getsockname()
        local ok, err = pcall(client.get, client, ("https://127.0.0.1:%d/"):format(port), { timeout = 0.05 })
        assert.is_false(ok)
        assert.equal("timeout", err.code)
        assert.equal("in the TLS handshake", err.stage)
        listener:close()
    end)

    it("closes the socket of a task that is cancelled", function()
        pcall(moonloop.timeout, 0.05, function()
            client:get(good.url .. "/hang")
        end)
        assert.equal("gone", client:get(good.url .. "/gone"):body())
    end)

    it("needs a ca_file that can be read", function()
        local ok, err = pcall(http.client, { ca_file = "/nonexistent.pem" })
        assert.is_false(ok)
        assert.matches("tls: /nonexistent.pem: ", tostring(err))
    end)
end)
