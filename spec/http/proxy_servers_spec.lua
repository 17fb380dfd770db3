--- moonloop.proxy before nginx; and what a stop and a reload do to an upgrade that goes through.

local command = require("spec.support.command")
local nginx = require("spec.support.nginx")
local relay = require("spec.support.relay")
local server = require("spec.support.server")

local with_nginx = nginx.is_there and it or pending

local NGINX = [[
    gzip on; gzip_proxied any; gzip_types text/plain; gzip_min_length 10; default_type text/plain;
    server {
        listen unix:DIR/nginx.sock; root DIR/www; keepalive_requests 3;
        location = /slowly { limit_rate 100k; alias DIR/www/large; }
        location /api/ { return 200 "$request_uri $http_x_forwarded_for $http_via"; }
    }]]

describe("moonloop.proxy before nginx", function()
    local directory, site

    setup(function()
        if not nginx.is_there then
            return
        end
        directory = command.directory()
        command.write(directory .. "/www/hello.txt", "hello from nginx\n")
        command.write(directory .. "/www/large", ("0123456789"):rep(500000))
        nginx.start(directory, NGINX)
        site = server.start({ apps = { ["index.lua"] = ([[
            local moonloop = require("moonloop")
            local app = moonloop.app()
            app:any("/{path...}", { timeout = 0 }, function(req)
                return moonloop.proxy(req, "%s")
            end)
            return app
        ]]):format(nginx.url(directory)) } })
    end)

    teardown(function()
        server.clean()
        if nginx.is_there then
            nginx.stop(directory)
            command.remove(directory)
        end
    end)

    with_nginx("passes on what it serves, connection after connection", function()
        for _ = 1, 7 do
            assert.equal("hello from nginx\n", site:get("/hello.txt").body)
        end
        assert.equal(("0123456789"):rep(500000), site:get("/large").body)
        assert.equal(404, site:get("/none").status)
        assert.equal("/api/a%20b?c=%26 127.0.0.1 1.1 moonloop", site:get("/api/a%20b?c=%26").body)
    end)

    with_nginx("passes conditions, ranges and HEAD on", function()
        local first = site:get("/hello.txt")
        local second = site:get("/hello.txt", { headers = { ["If-None-Match"] = first.headers.etag } })
        assert.equal(304, second.status)
        assert.equal(first.headers.etag, second.headers.etag)
        local part = site:get("/large", { headers = { Range = "bytes=5-14" } })
        assert.equal(206, part.status)
        assert.equal("5678901234", part.body)
        assert.equal("bytes 5-14/5000000", part.headers["content-range"])
        assert.equal("5000000", site:request("HEAD", "/large").headers["content-length"])
    end)

    with_nginx("leaves what it has compressed as it is", function()
        local response = site:get("/large", { headers = { ["Accept-Encoding"] = "gzip" } })
        assert.equal("gzip", response.headers["content-encoding"])
        assert.equal("\31\139", response.body:sub(1, 2))
        assert.is_true(#response.body < 100000)
        assert.is_nil(site:get("/large").headers["content-encoding"])
    end)
end)

describe("an upgrade that is passed on", function()
    after_each(server.clean)

    local function open(options)
        local site = server.start({ apps = { ["index.lua"] = relay.APP }, options = options })
        local connection = site:connect()
        connection:send(("GET /to/%d/echo-protocol HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
            :format(site.port))
        assert.matches("^HTTP/1.1 101", connection:read_until("\r\n\r\n"))
        return site, connection
    end

    it("goes on over a reload", function()
        local site, connection = open({ "--workers", "1" })
        site:write("index.lua", relay.APP .. "\n")
        site:wait_log("generation 2 is live")
        connection:send("hello")
        assert.equal("hello", connection:read_bytes(5))
        connection.socket:shutdown("send")
        assert.equal("bye", connection:read_all())
        connection:close()
    end)

    it("has the grace of a stop, then is ended", function()
        local site, connection = open({ "--workers", "1", "--graceful-timeout", "0.5" })
        site.process:kill("TERM")
        site:wait_log("SIGTERM: stopping")
        connection:send("hello")
        assert.equal("hello", connection:read_bytes(5))
        connection:read_all()
        connection:close()
        assert.same({ "exited", 0 }, { site.process:wait() })
    end)

    it("leaves nothing behind", function()
        local site, connection = open({ "--workers", "1" })
        connection.socket:shutdown("send")
        connection:read_all()
        connection:close()
        site:wait_status("the connections to have gone", function(status)
            return status.workers[1].connections == 0
        end)
    end)
end)
