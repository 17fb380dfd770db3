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
        local at = 0
        text = client:post(good.url .. "/echo", { length = #body, expect = 0.01, body = function()
            at = at + 30000
            return at - 30000 < #body and body:sub(at - 29999, at) or nil
        end }):body()
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

    it("refuses a server that speaks no TLS", function()
        local plain = origin.start()
        assert.matches("does not speak TLS on this port; it may be one for plain http://, in the TLS handshake",
            refusal(("https://127.0.0.1:%d/"):format(plain.port)), 1, true)
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

    it("says what a handshake fails of", function()
        local control = origin.start()
        local function scripted(...)
            local _, port = control:script({ ... })
            return refusal(("https://127.0.0.1:%d/"):format(port))
        end
        assert.matches("the connection was closed in the middle of the handshake", scripted("close"))
        assert.matches("the connection was closed in the middle of the handshake",
            scripted({ "send", "\22\3\3\0\200\2" }, "close"))
        assert.matches("does not speak TLS", scripted({ "send", "SSH-2.0-OpenSSH_9.2\r\n" }, "wait"))
        assert.matches("the server has no certificate for this name", scripted({ "send", "\21\3\3\0\2\2\112" }, "wait"))
        control:stop()
    end)

    it("refuses old versions, and protocols that it does not speak", function()
        local certificate, key = directory .. "/good.pem", directory .. "/good.key"
        local old = origin.start(certificate, key, "max=TLSv1_1")
        assert.matches("nothing newer than TLS 1.1, which is refused as insecure", refusal(old.url .. "/"))
        old:stop()
        local fine = origin.start(certificate, key, "alpn=http/1.1")
        assert.equal("TLSv1.3 new http/1.1", client:get(fine.url .. "/tls"):body())
        fine:stop()
        local other = origin.start(certificate, key, "max=TLSv1_2 alpn=other/1") -- Python then goes on without
        assert.equal("TLSv1.2 new -", client:get(other.url .. "/tls"):body())
        other:stop()
    end)

    it("notices bytes that are no TLS behind the handshake", function()
        local wire = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello"
        local ok, err = pcall(function()
            return client:get(good:reply(wire, "garbage")):body()
        end)
        assert.is_false(ok)
        assert.equal("tls", err.code)
        assert.matches("bytes came that are no TLS, in the middle of a TLS connection", tostring(err))
    end)

    it("does not renegotiate", function()
        local fifo = directory .. "/commands"
        command.run({ "mkfifo", fifo })
        command.write(directory .. "/printed", "")
        os.execute(("timeout 60 openssl s_server -accept 127.0.0.1:0 -naccept 1 -tls1_2 -cert %s/good.pem -key "
            .. "%s/good.key <%s >%s/printed 2>&1 &"):format(directory, directory, fifo, directory))
        local commands = assert(io.open(fifo, "w"))
        local function wait_for(text)
            return moonloop.timeout(30, function()
                while true do
                    local found = command.read(directory .. "/printed"):match(text)
                    if found then
                        return found
                    end
                    moonloop.sleep(0.01)
                end
            end)
        end
        local port = tonumber(wait_for("ACCEPT 127%.0%.0%.1:(%d+)\n"))
        local task = moonloop.spawn(function()
            return pcall(client.get, client, ("https://127.0.0.1:%d/"):format(port))
        end)
        wait_for("GET / HTTP/1.1")
        commands:write("R\n")
        commands:flush()
        local ok, err = task:wait()
        assert.is_false(ok)
        assert.is_true(err.code == "closed" or err.code == "tls", tostring(err))
        wait_for("no renegotiation")
        commands:close()
    end)

    it("needs a ca_file that can be read", function()
        local ok, err = pcall(http.client, { ca_file = "/nonexistent.pem" })
        assert.is_false(ok)
        assert.matches("tls: /nonexistent.pem: ", tostring(err))
    end)
end)
