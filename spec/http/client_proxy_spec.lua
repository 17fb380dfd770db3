--- The client behind forward proxies: tinyproxy, squid and microsocks, and some that misbehave.

local activity = require("moonloop.activity")
local certificates = require("spec.support.certificates")
local command = require("spec.support.command")
local http = require("moonloop.http")
local moonloop = require("moonloop")
local origin = require("spec.support.origin")
local process = require("spec.support.process")
local proxies = require("spec.support.proxies")

local directory, plain, secure

setup(function()
    directory = certificates.authority()
    plain = origin.start()
    secure = origin.start(certificates.issue(directory, "good", "DNS:localhost,IP:127.0.0.1"))
end)

teardown(function()
    secure:stop()
    plain:stop()
    command.remove(directory)
end)

after_each(function()
    process.clean()
end)

local function client_through(url, options)
    options = options or {}
    options.proxy, options.ca_file = url, directory .. "/ca.pem"
    return http.client(options)
end

local function with_user(url, user)
    local scheme, place = url:match("^(.-://)(.*)$")
    return scheme .. user .. "@" .. place
end

local function failure(...)
    local ok, err = pcall(...)
    assert.is_false(ok)
    assert.is_nil(tostring(err):find("geheim", 1, true))
    return err
end

local function count(text, pattern)
    return select(2, text:gsub(pattern, ""))
end

local function when(program)
    return proxies.has(program) and it or pending
end

describe("tinyproxy", function()
    when("tinyproxy")("is asked for the whole URL of an http target", function()
        local proxy = proxies.tinyproxy()
        local client = client_through(proxy.url)
        local res = client:get(plain.url .. "/echo?a=b")
        assert.matches("^GET /echo%?a=b HTTP/1", res:body())
        assert.matches("Host: 127.0.0.1:" .. plain.port, res:body(), 1, true)
        assert.matches("tinyproxy", res.headers.via)
        assert.matches("GET http://127.0.0.1:" .. plain.port .. "/echo?a=b HTTP/1.1", proxy.log(), 1, true)
    end)

    when("tinyproxy")("makes a tunnel to an https target, which is used again", function()
        local proxy = proxies.tinyproxy()
        local client = client_through(proxy.url)
        local res = client:get(secure.url .. "/echo")
        assert.is_nil(res:body():lower():find("proxy", 1, true))
        assert.is_true(res.timing.connect > 0 and res.timing.tls > 0)
        local body = ("0123456789abcdef"):rep(64 * 1024)
        assert.is_true(client:post(secure.url .. "/echo", { body = body }):body():sub(-#body) == body)
        local pieces = 0
        local text = client:post(secure.url .. "/echo", { length = 50000, body = function()
            pieces = pieces + 1
            return pieces <= 50 and ("p"):rep(1000) or nil
        end }):body()
        assert.equal(("p"):rep(50000), text:sub(-50000))
        assert.equal(1, client:stats().connections)
        assert.equal(2, client:stats().reused)
        assert.equal(1, count(proxy.log(), "CONNECT 127.0.0.1:" .. secure.port))
    end)

    when("tinyproxy")("verifies the target's certificate, not the proxy's", function()
        local proxy = proxies.tinyproxy()
        local err = failure(http.get, secure.url, { proxy = proxy.url })
        assert.equal("tls", err.code)
        assert.equal("in the TLS handshake", err.stage)
        assert.equal(proxy.url, err.proxy)
    end)

    when("tinyproxy")("gets user and password, and nobody else does", function()
        local proxy = proxies.tinyproxy("BasicAuth Ann ge.heim-x")
        local client = client_through(with_user(proxy.url, "Ann:ge%2Eheim-x"))
        assert.is_nil(client:get(plain.url .. "/echo"):body():find("roxy%-Authorization"))
        assert.is_nil(client:get(secure.url .. "/echo"):body():find("roxy%-Authorization"))
        for user, how in pairs({
            [""] = { 407, "407 Proxy Authentication Required; write user and password into its URL" },
            ["Ann:geheim"] = { 401, "401 Unauthorized; it does not take the user and password of its URL" },
        }) do
            local url = user == "" and proxy.url or with_user(proxy.url, user)
            assert.equal(how[1], http.get(plain.url, { proxy = url }).status)
            local err = failure(http.get, secure.url, { proxy = url })
            assert.equal("refused", err.code)
            assert.equal(("GET %s: the proxy %s refuses to connect: %s, while connecting"):format(secure.url, proxy.url,
                how[2]), err.message)
        end
    end)

    when("tinyproxy")("tells when the target cannot be reached", function()
        local proxy = proxies.tinyproxy()
        local err = failure(http.get, "https://127.0.0.1:1/", { proxy = proxy.url })
        assert.equal("refused", err.code)
        assert.matches("the proxy " .. proxy.url .. " refuses to connect: 500 Unable to connect", err.message, 1, true)
        assert.equal(500, http.get("http://127.0.0.1:1/", { proxy = proxy.url }).status)
    end)
end)

describe("squid", function()
    local proxy

    after_each(function()
        if proxy then
            proxy.stop()
        end
    end)

    when("squid")("serves http and https targets on kept connections", function()
        proxy = proxies.squid({ "Ann", "geheim" })
        local client = client_through(with_user(proxy.url, "Ann:geheim"))
        for _ = 1, 3 do
            assert.matches("GET /echo HTTP/1.1", client:get(plain.url .. "/echo"):body(), 1, true)
            assert.matches("GET /echo HTTP/1.1", client:get(secure.url .. "/echo"):body(), 1, true)
        end
        assert.equal(2, client:stats().connections)
        assert.equal(4, client:stats().reused)
        assert.equal(0, #client:get(plain.url .. "/sized/0"):body())
        assert.equal(3000000, #client:get(secure.url .. "/sized/3000000"):body())
        assert.equal(3000000, #client:get(plain.url .. "/sized/3000000"):body())
        assert.equal(407, http.get(plain.url, { proxy = proxy.url }).status)
        assert.matches("407 Proxy Authentication Required",
            failure(http.get, secure.url, { proxy = proxy.url }).message)
        assert.matches("503 Service Unavailable", failure(client.get, client, "https://127.0.0.1:1/").message)
    end)
end)

describe("microsocks", function()
    when("microsocks")("makes a tunnel to every target", function()
        local proxy = proxies.microsocks()
        local client = client_through(proxy.url)
        for _ = 1, 2 do
            assert.matches("^GET /echo HTTP/1.1", client:get(plain.url .. "/echo"):body())
            assert.matches("^GET /echo HTTP/1.1", client:get(secure.url .. "/echo"):body())
        end
        assert.matches("^GET /echo", client:get(("https://localhost:%d/echo"):format(secure.port)):body())
        assert.equal(2, client:stats().reused)
        local err = failure(client.get, client, "http://127.0.0.1:1/")
        assert.equal("refused", err.code)
        assert.matches("the proxy " .. proxy.url .. " refuses to connect: connection refused", err.message, 1, true)
        err = failure(client.get, client, "http://nobody.invalid/")
        assert.matches("refuses to connect", err.message)
    end)

    when("microsocks")("gets user and password", function()
        local proxy = proxies.microsocks({ "Ann", "geheim" })
        local url = with_user(proxy.url, "Ann:geheim"):gsub("socks5", "socks5h")
        assert.equal(200, client_through(url):get(secure.url .. "/echo").status)
        local err = failure(http.get, plain.url, { proxy = with_user(proxy.url, "Ann:geheim2") })
        assert.matches("it does not take this user and password", err.message)
        err = failure(http.get, plain.url, { proxy = proxy.url })
        assert.matches("it wants a user and a password; write them into its URL", err.message)
        assert.equal("refused", err.code)
    end)
end)

describe("a proxy that misbehaves", function()
    local OK = "HTTP/1.1 200 Connection established\r\n"

    local function through(...)
        local url, port = plain:script(...)
        local started = moonloop.now()
        local err = failure(http.get, "https://example.invalid/", { proxy = with_user(url, "Ann:geheim"), timeout = 5 })
        assert.is_true(moonloop.now() - started < 4)
        assert.matches("the proxy " .. url .. " ", err.message, 1, true)
        assert.equal("while connecting", err.stage)
        return err, port
    end

    -- #stress_cannot: what comes later than the answer comes through the tunnel, from the server that was asked for.
    it("by what comes at once behind its answer to CONNECT #stress_cannot", function()
        for _, bytes in ipairs({ "\r\nHTTP/1.1 200 OK\r\n\r\nhello", "Content-Length: 5\r\n\r\nhello" }) do
            local err = through({ "read", { "send", OK .. bytes }, "shut", "wait" })
            assert.equal("protocol", err.code)
        end
    end)

    it("by what it answers CONNECT", function()
        for bytes, expected in pairs({
            [OK .. "X: " .. ("x"):rep(70000) .. "\r\n\r\n"] = "too_large",
            ["HTTP/1.1 100 Continue\r\n\r\n" .. ("HTTP/1.1 102 x\r\n\r\n"):rep(5000)] = "too_large",
            ["garbage\r\n\r\n"] = "protocol",
            ["\0\1\2\3"] = "protocol",
            ["SSH-2.0-OpenSSH_9\r\n"] = "protocol",
            ["\21\3\1\0\2\2\40"] = "protocol",
            ["HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 9999\r\n\r\nx"] = "refused",
            ["HTTP/1.1 403 \27[31mred\r\n\r\n"] = "protocol",
            ["HTTP/1.1 502\r\n\r\n"] = "refused",
            ["HTTP/1.0 301 Away\r\nLocation: http://127.0.0.1/\r\n\r\n"] = "refused",
            ["HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"] = "refused",
            [("HTTP/1.1 403 " .. ("y"):rep(3000) .. "\r\n\r\n")] = "refused",
            ["HTTP/1.1 20"] = "closed",
            [""] = "closed",
        }) do
            local err = through({ "read", { "send", bytes }, "shut", "wait" })
            assert.equal(expected, err.code, bytes:sub(1, 40) .. ": " .. err.message)
            assert.is_nil(err.message:find("%c"))
        end
    end)

    it("by ending or resetting the connection", function()
        assert.equal("closed", through({ "close" }).code)
        assert.equal("closed", through({ "read", "reset" }).code)
    end)

    it("by answering bit by bit, which does no harm", function()
        local url = plain:script({ "read", { "send", "HTTP/1.1 102 Wait\r\n\r\n" .. OK .. "A: b\r\n\r\n", 1 },
            "close" })
        local err = failure(http.get, "https://example.invalid/", { proxy = url })
        assert.equal("tls", err.code)
        assert.equal("in the TLS handshake", err.stage)
    end)

    it("by taking its time: the deadline and a cancellation cover it", function()
        local url, port = plain:script({ "read", "wait" })
        local client = client_through(url)
        local err = failure(client.get, client, "https://example.invalid/", { timeout = 0.05 })
        assert.equal("timeout", err.code)
        assert.equal("while connecting", err.stage)
        assert.same({ "connection", "request CONNECT example.invalid:443 HTTP/1.1", "end 0", "closed" },
            plain:log(port, 4))
        local task = moonloop.spawn(client.get, client, "https://[::1]:8443/")
        plain:log(port, 6)
        local rows = {}
        for _, row in ipairs(activity.list()) do
            rows[row.name or ""] = row
        end
        assert.equal("1 connections, 0 idle, 0 waiting", rows["https://[::1]:8443 via " .. url].detail)
        task:cancel("enough")
        assert.equal("request CONNECT [::1]:8443 HTTP/1.1", plain:log(port, 8)[6])
        assert.equal(0, client:stats().connections)
    end)

    local function check_socks(cases)
        for bytes, expected in pairs(cases) do
            local url = plain:script({ { "send", bytes }, "shut", "wait" }):gsub("http:", "socks5:")
            local err = failure(http.get, "http://example.invalid/", { proxy = url, timeout = 5 })
            assert.equal(expected, err.code, err.message)
            assert.matches("the proxy " .. url .. " ", err.message, 1, true)
        end
    end

    -- #stress_cannot: what comes later than the answer comes through the tunnel, from the server that was asked for.
    it("as SOCKS by what comes at once behind its answer #stress_cannot", function()
        check_socks({ ["\5\0\5\0\0\3\5hello\0\80too much"] = "protocol" })
    end)

    it("as SOCKS by what it answers", function()
        check_socks({
            ["HTTP/1.1 400 Bad Request\r\n\r\n"] = "protocol",
            ["\4\0"] = "protocol",
            ["\5\255"] = "refused",
            ["\5\1"] = "refused",
            ["\5"] = "closed",
            [""] = "closed",
            ["\5\0\5\2\0\1\0\0\0\0\0\0"] = "refused",
            ["\5\0\5\99"] = "refused",
            ["\5\0\5\0\0\9\0\0\0\0\0\0"] = "protocol",
            ["\5\0\5\0\0\3\5hello\0"] = "closed",
            ["\5\0\4\0"] = "protocol",
        })
    end)

    it("by not being there", function()
        for _, target in ipairs({ "http://example.invalid/", "https://example.invalid/" }) do
            local err = failure(http.get, target, { proxy = "http://Ann:geheim@127.0.0.1:1" })
            assert.equal("refused", err.code)
            assert.matches("the proxy http://127.0.0.1:1: Connection refused", err.message, 1, true)
            err = failure(http.get, target, { proxy = "http://nobody.invalid" })
            assert.equal("dns", err.code)
            assert.matches("the proxy http://nobody.invalid:80: ", err.message, 1, true)
        end
    end)
end)

describe("the place of a connection", function()
    local SIZED = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
    local ANSWERS = { "read", { "send", SIZED }, "read", { "send", SIZED }, "read", { "send", SIZED }, "wait" }

    it("is one for all http targets of a proxy, with the limit and the queue of an origin", function()
        local url, port = plain:script(ANSWERS)
        local client = client_through(url, { connections = 1 })
        local bodies = moonloop.map({ "a", "b", "c" }, function(name)
            return client:get(("http://%s.invalid/"):format(name)):body()
        end)
        assert.same({ "ok", "ok", "ok" }, bodies)
        local stats = client:stats()
        assert.same({ 1, 1, 0, 2 }, { stats.connections, stats.idle, stats.waiting, stats.reused })
        local log = plain:log(port, 4)
        table.sort(log)
        assert.same({ "connection", "request GET http://a.invalid/ HTTP/1.1", "request GET http://b.invalid/ HTTP/1.1",
            "request GET http://c.invalid/ HTTP/1.1" }, log)
    end)

    it("is no other proxy's, nor the way straight there", function()
        local url, port = plain:script(ANSWERS)
        local client = http.client()
        local socks = url:gsub("http:", "socks5:")
        assert.equal("ok", client:get(url, { proxy = false }):body())
        assert.equal("ok", client:get("http://a.invalid", { proxy = with_user(url, "Ann:geheim") }):body())
        failure(client.get, client, url, { proxy = socks, timeout = 0.05 })
        assert.equal("connection", plain:log(port, 4)[4])
    end)

    it("is kept over a redirect, with who we are to the proxy", function()
        local url, port = plain:script({ "read",
            { "send", "HTTP/1.1 302 Found\r\nLocation: http://b.invalid/x\r\nContent-Length: 0\r\n\r\n" }, "read",
            { "send", SIZED }, "wait" })
        local res = http.get("http://a.invalid/", { proxy = with_user(url, "Ann:geheim") })
        assert.equal("http://b.invalid/x", res.url)
        assert.equal("request GET http://b.invalid/x HTTP/1.1", plain:log(port, 3)[3])
    end)
end)

describe("the option proxy", function()
    local function mistake(...)
        local ok, err = pcall(...)
        assert.is_false(ok)
        assert.is_nil(tostring(err):find("geheim", 1, true))
        return tostring(err)
    end

    it("is looked at at once", function()
        assert.matches("option proxy: expected a URL or false", mistake(http.client, { proxy = true }))
        assert.matches("option proxy: a number does not do", mistake(http.client, { proxy = 3128 }))
        assert.matches("option proxy: TLS to a proxy is not supported; write http://",
            mistake(http.client, { proxy = "https://Ann:geheim@proxy" }))
        assert.matches("option proxy: the host is missing", mistake(http.get, plain.url, { proxy = "" }))
        assert.matches("option proxy: nothing may follow host and port",
            mistake(http.get, plain.url, { proxy = "http://a/b" }))
    end)

    it("does not let Proxy-Authorization through to the server", function()
        assert.matches("Proxy%-Authorization would go through the proxy to the server", mistake(http.get, secure.url, {
            proxy = "http://127.0.0.1:1", headers = { ["Proxy-Authorization"] = "Basic geheim" },
        }))
    end)
end)

describe("the environment", function()
    it("is honoured without a word in the script", function()
        local url, port = plain:script({ "read",
            { "send", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nproxy" }, "close" })
        local script = process.directory() .. "/script.lua"
        command.write(script, ([[
            local http = require("moonloop.http")
            print(http.get("http://example.invalid/a"):body())
            print(http.client({ timeout = 5 }):get("http://example.invalid/b"):body())
            print(http.get("%s/echo"):body():match("^[^\r]*"))
            print(pcall(http.get, "http://none.invalid/"))
            print(pcall(http.get, "http://example.invalid/", { proxy = false }))
            print(pcall(http.get, "https://example.invalid/"))
        ]]):format(plain.url))
        local result = command.call({ "run", script }, { env = {
            http_proxy = url:gsub("^http://", "Ann:geheim@"), HTTPS_PROXY = "http://Ann:geheim@:99",
            no_proxy = "none.invalid", NO_PROXY = false, HTTP_PROXY = false, REQUEST_METHOD = false,
        } })
        assert.equal(0, result.code, result.err)
        local lines = {}
        for line in result.out:gmatch("[^\n]+") do
            lines[#lines + 1] = line
        end
        assert.same({ "proxy", "proxy", "GET /echo HTTP/1.1" }, { unpack(lines, 1, 3) })
        assert.matches("none.invalid/: .*resolving", lines[4])
        assert.matches("example.invalid/: .*resolving", lines[5])
        assert.matches("the environment variable HTTPS_PROXY names no proxy: the host is missing, before it began",
            lines[6], 1, true)
        assert.is_nil(result.out:find("geheim", 1, true))
        assert.equal("request GET http://example.invalid/a HTTP/1.1", plain:log(port, 2)[2])
    end)
end)
