--- https takes up earlier TLS sessions on new connections.

local certificates = require("spec.support.certificates")
local command = require("spec.support.command")
local http = require("moonloop.http")
local nginx = require("spec.support.nginx")
local origin = require("spec.support.origin")

describe("a TLS session", function()
    local directory

    setup(function()
        directory = certificates.authority()
        certificates.issue(directory, "good", "IP:127.0.0.1,DNS:localhost")
    end)

    teardown(function()
        command.remove(directory)
    end)

    local function start(options)
        return origin.start(directory .. "/good.pem", directory .. "/good.key", options)
    end

    local function new_client()
        return http.client({ ca_file = directory .. "/ca.pem" })
    end

    ---Over a connection that is closed afterwards.
    local function ask(client, url)
        return client:get(url .. "/tls", { headers = { Connection = "close" } }):body()
    end

    for version, options in pairs({ ["TLSv1.3"] = "", ["TLSv1.2"] = "max=TLSv1_2" }) do
        it("of " .. version .. " is taken up again by the next connection to its origin", function()
            local server, client = start(options), new_client()
            assert.equal(version .. " new -", ask(client, server.url))
            for count = 1, 4 do
                assert.equal(version .. " resumed -", ask(client, server.url))
                assert.equal(count, client:stats().resumed)
            end
            -- another name for it is another origin, and another client knows nothing of it
            assert.equal(version .. " new -", ask(client, "https://localhost:" .. server.port))
            assert.equal(version .. " new -", ask(new_client(), server.url))
            server:stop()
        end)
    end

    it("that the server has forgotten gives way to a whole handshake", function()
        local server, client = start("forget"), new_client()
        for _ = 1, 3 do
            assert.equal("TLSv1.3 new -", ask(client, server.url))
        end
        assert.equal(0, client:stats().resumed)
        server:stop()
    end)

    it("that a server stumbles over is given up, and the handshake tried once more", function()
        local server, client = start("choke=2"), new_client()
        assert.equal("TLSv1.3 new -", ask(client, server.url))
        assert.equal("TLSv1.3 new -", ask(client, server.url)) -- the third connection
        assert.equal("TLSv1.3 resumed -", ask(client, server.url))
        server:stop()
    end)

    it("is not what a first handshake is tried again for", function()
        local server, client = start("choke=1"), new_client()
        local ok, err = pcall(ask, client, server.url)
        assert.is_false(ok)
        assert.equal("tls", err.code)
        server:stop()
    end)

    local with_nginx = nginx.is_there and it or pending
    with_nginx("is taken up again with nginx, whose tickets come behind the handshake", function()
        local port = certificates.free_port()
        command.write(directory .. "/www/hello.txt", ("0123456789"):rep(100000))
        nginx.start(directory, ([[
            server {
                listen 127.0.0.1:%d ssl; root DIR/www; ssl_protocols TLSv1.2 TLSv1.3;
                ssl_certificate DIR/good.pem; ssl_certificate_key DIR/good.key;
                location = /again { return 200 $ssl_session_reused; }
            }]]):format(port))
        local client, url = new_client(), "https://127.0.0.1:" .. port
        local ok, err = pcall(function()
            assert.equal(1000000, #client:get(url .. "/hello.txt", { headers = { Connection = "close" } }):body())
            assert.equal("r", client:get(url .. "/again", { headers = { Connection = "close" } }):body())
            local plain = client:get(("http://127.0.0.1:%d/"):format(port)) -- nginx says what is wrong
            assert.equal(400, plain.status)
        end)
        nginx.stop(directory)
        assert(ok, err)
        assert.equal(1, client:stats().resumed)
    end)
end)
