--- strict_host: over TLS nobody is answered for a host that the connection's certificate is not for (RFC 9110, 7.4).

local certificates = require("spec.support.certificates")
local command = require("spec.support.command")
local process = require("spec.support.process")
local proxies = require("spec.support.proxies")
local server = require("spec.support.server")
local tls = require("spec.support.tls")

local with_haproxy = proxies.has("haproxy") and it or pending

local APP = [[
local app = require("moonloop").app()
app:get("/", function(req) return "for " .. tostring(req.headers.host) .. "\n" end)
return app
]]

describe("strict_host", function()
    local directory

    setup(function()
        directory = tls.directory()
        certificates.issue(directory, "shop", "DNS:shop.example,DNS:*.shop.example")
    end)

    teardown(function()
        command.remove(directory)
    end)

    after_each(server.clean)

    local function start(...)
        return server.start({ apps = { ["index.lua"] = APP }, options = tls.words(directory, { "good", "shop" }, ...) })
    end

    local function strict(...)
        return start("--strict-host", "--forwarded-allow-ips", "10.0.0.1", ...)
    end

    ---What raw requests are answered on one connection whose client has asked for `name` in its handshake, and was
    ---given further words.
    local function answers_with(further, site, name, ...)
        local text = table.concat({ ... }, "\r\n\r\n") .. "\r\nConnection: close\r\n\r\n"
        local words = { "timeout", "10", "openssl", "s_client", "-ign_eof", "-connect", "127.0.0.1:" .. site.port }
        for _, group in ipairs({ name and { "-servername", name } or { "-noservername" }, further }) do
            for _, word in ipairs(group) do
                words[#words + 1] = word
            end
        end
        local result = command.run(words, { input = text })
        local statuses = {}
        for status in result.out:gmatch("HTTP/1%.1 (%d+) ") do
            statuses[#statuses + 1] = status
        end
        return table.concat(statuses, " "), result.out
    end

    local function answers(site, name, ...)
        return answers_with({ "-quiet" }, site, name, ...)
    end

    local function get(host, target)
        return ("GET %s HTTP/1.1\r\nHost: %s"):format(target or "/", host)
    end

    it("answers the hosts of the certificate, however they are written", function()
        local site = strict()
        for _, host in ipairs({ "localhost", "LOCALHOST:443", "localhost.", "127.0.0.1", "127.0.0.1:8443" }) do
            assert.equal("200", answers(site, "localhost", get(host)), host)
        end
        assert.equal("200", answers(site, nil, get("localhost")))
        assert.equal("200 200", answers(site, "a.shop.example", get("a.shop.example"), get("shop.example")))
    end)

    it("answers any other with 421, which says why, and closes", function()
        local site = strict()
        for _, host in ipairs({ "other.example", "localhost.example", "xlocalhost", "127.0.0.2", "[::1]",
            "shop.example", "a.shop.example:443" }) do
            local status, text = answers(site, "localhost", get(host))
            assert.equal("421", status, host)
            assert.matches("\r\nConnection: close\r\n", text)
            assert.matches("\r\n\r\nthe certificate of this connection is not for that host\n$", text)
        end
        assert.equal("421", answers(site, "a.shop.example", get("localhost")))
        assert.equal("421", answers(site, "a.shop.example", get("a.b.shop.example")))
        assert.equal("421", answers(site, "a.shop.example", get("*.shop.example"))) -- the pattern itself is no host
        assert.equal("421", answers(site, "other.example", get("other.example")))
        assert.equal("200 421", answers(site, "localhost", get("localhost"), get("other.example"), get("localhost")))
    end)

    it("looks at the target where that names the host, and wants one", function()
        local site = strict()
        assert.equal("200", answers(site, "localhost", get("other.example", "https://localhost/")))
        assert.equal("421", answers(site, "localhost", get("localhost", "https://other.example/")))
        assert.equal("421", answers(site, "localhost", "GET / HTTP/1.0"))
    end)

    it("leaves proxies that are believed alone, and what comes in plain", function()
        local site = start("--strict-host", "--bind", "unix:" .. directory .. "/site.sock")
        assert.equal("200", answers(site, "localhost", get("other.example"))) -- 127.0.0.1 is believed by default
        local connection = server.connect("unix:" .. directory .. "/site.sock")
        connection:send("GET / HTTP/1.1\r\nHost: other.example\r\nConnection: close\r\n\r\n")
        assert.matches("^HTTP/1.1 200 .*for other.example\n$", connection:read_all())
    end)

    it("goes by the host of the handshake where a session of another one is offered", function()
        local site = strict()
        for _, version in ipairs({ "-tls1_2", "-tls1_3" }) do
            local session = directory .. "/session"
            assert.equal("200", (answers_with({ version, "-sess_out", session }, site, "localhost", get("localhost"))))
            local function again(name, host)
                return (answers_with({ version, "-sess_in", session }, site, name, get(host)))
            end
            assert.equal("200", again("localhost", "localhost"))
            assert.equal("421", again("localhost", "shop.example"))
            assert.equal("200", again("shop.example", "shop.example"))
            assert.equal("421", again("shop.example", "localhost"))
        end
    end)

    with_haproxy("goes by the client that a PROXY header names", function()
        local site = start("--strict-host", "--proxy-protocol", "--forwarded-allow-ips", "127.0.0.1")
        local port = proxies.haproxy("tcp", site.port, "send-proxy-v2")
        local function asks_as(address)
            return command.run({ "curl", "-sk", "--max-time", "10", "--interface", address, "-H", "Host: other.example",
                "-o", "/dev/null", "-w", "%{http_code}", ("https://127.0.0.1:%d/"):format(port) }).out
        end
        assert.equal("421", asks_as("127.0.0.9"))
        assert.equal("200", asks_as("127.0.0.1"))
    end)

    it("goes with a certificate that takes the former one's place", function()
        local site = strict()
        assert.equal("421", answers(site, "late.example", get("late.example")))
        certificates.issue(directory, "shop", "DNS:late.example")
        site:wait_log("certificates")
        process.wait_for("the new certificate", function()
            return answers(site, "late.example", get("late.example")) == "200"
        end)
    end)

    it("is off unless it is asked for, and wants a certificate", function()
        local site = start("--forwarded-allow-ips", "10.0.0.1")
        assert.equal("200", answers(site, "localhost", get("other.example")))
        local result = command.run({ server.binary, "check", "--strict-host", directory })
        assert.equal(1, result.code)
        assert.matches("strict_host: is for TLS, which needs certfile as well", result.out, 1, true)
    end)
end)
