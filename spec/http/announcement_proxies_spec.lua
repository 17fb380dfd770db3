--- The PROXY protocol as haproxy and nginx speak it, and curl.

local certificates = require("spec.support.certificates")
local command = require("spec.support.command")
local proxies = require("spec.support.proxies")
local server = require("spec.support.server")
local socket = require("socket")
local tls = require("spec.support.tls")

local with_haproxy = proxies.has("haproxy") and it or pending
local with_nginx = proxies.has_nginx_stream() and it or pending

local APP = [[
local app = require("moonloop").app()
app:get("/", function(req) return req.remote_addr .. " " .. req.scheme .. "\n" end)
app:post("/", { max_body = 0 }, function(req) return req.remote_addr .. " " .. #req:body() .. "\n" end)
return app
]]

describe("behind a proxy that speaks the PROXY protocol", function()
    local site, directory

    setup(function()
        directory = tls.directory()
        certificates.join(directory, "both.pem", "good.pem", "good.key")
    end)
    teardown(function()
        command.remove(directory)
    end)
    after_each(server.clean)

    local function start(...)
        site = server.start({ apps = { ["index.lua"] = APP }, options = { "--workers", "1", "--proxy-protocol", ... } })
        return site.port
    end

    ---What a client with an address of its own is told, several times on one connection.
    local function told(port)
        local connection = server.connect("127.0.0.1", port, "127.0.0.9")
        local first = connection:request("GET", "/").body
        assert.equal("127.0.0.9 100000\n", connection:request("POST", "/", { body = ("x"):rep(100000) }).body)
        connection:close()
        return first
    end

    with_haproxy("of haproxy, version 1 and 2, in front of plain bytes and of HTTP", function()
        local port = start()
        for _, mode in ipairs({ "tcp", "http" }) do
            for _, words in ipairs({ "send-proxy", "send-proxy-v2", "send-proxy-v2 proxy-v2-options crc32c" }) do
                assert.equal("127.0.0.9 http\n", told((proxies.haproxy(mode, port, words))), mode .. " " .. words)
            end
        end
        assert.is_nil(site:log():find("refused", 1, true))
    end)

    with_haproxy("of haproxy with health checks, which are the proxy's own", function()
        local port = start()
        local own = proxies.haproxy("http", port, "send-proxy-v2 check-send-proxy check inter 10ms fall 1")
        local ends = socket.gettime() + 0.3
        repeat
            assert.equal("127.0.0.9 http\n", told(own)) -- a check that fails would be a 503 here
        until socket.gettime() > ends
        assert.is_nil(site:log():find("refused", 1, true))
    end)

    with_haproxy("of haproxy that has TLS, which it says", function()
        local port = start()
        local own = proxies.haproxy("tcp", port, "send-proxy-v2-ssl-cn", "ssl crt " .. directory .. "/both.pem")
        local client = tls.client(directory)
        assert.equal("127.0.0.1 https\n", client:get(("https://localhost:%d/"):format(own)):body())
    end)

    with_haproxy("of haproxy that passes TLS through", function()
        local port = start("--certfile", directory .. "/both.pem")
        local own = proxies.haproxy("tcp", port, "send-proxy-v2")
        local client = tls.client(directory)
        assert.equal("127.0.0.1 https\n", client:get(("https://localhost:%d/"):format(own)):body())
    end)

    with_haproxy("and haproxy that speaks HTTP alone and writes X-Forwarded-For", function()
        site = server.start({ apps = { ["index.lua"] = APP } })
        local own = proxies.haproxy("http", site.port, "")
        local connection = server.connect("127.0.0.1", own, "127.0.0.9")
        local answer = connection:request("GET", "/", { headers = {
            ["X-Forwarded-For"] = "6.6.6.6", Forwarded = "for=6.6.6.6;proto=https",
        } })
        assert.equal("127.0.0.9 http\n", answer.body)
        connection:close()
    end)

    with_nginx("of nginx's stream module", function()
        assert.equal("127.0.0.9 http\n", told(proxies.nginx_stream(start())))
    end)

    it("of curl", function()
        local port = start()
        local asked = command.run({ "curl", "-s", "--haproxy-protocol", ("http://127.0.0.1:%d/"):format(port) })
        assert.equal("127.0.0.1 http\n", asked.out)
        local plain = command.run({ "curl", "-s", ("http://127.0.0.1:%d/"):format(port) })
        assert.equal("a PROXY header is expected here, before anything else\n", plain.out)
    end)
end)
