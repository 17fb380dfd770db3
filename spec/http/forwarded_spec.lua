--- Who asks, as proxies say it: X-Forwarded-For and -Proto, or Forwarded (RFC 7239), never both.

local relay = require("spec.support.relay")
local origin = require("spec.support.origin")
local server = require("spec.support.server")

local APP = [[
local app = require("moonloop").app()
app:get("/", function(req) return req.remote_addr .. " " .. req.scheme end)
return app
]]

---The answer to a request with these header lines, in order.
local function asked(site, ...)
    local connection = site:connect()
    connection:send("GET / HTTP/1.1\r\nHost: a\r\n" .. table.concat({ ... }, "\r\n") .. "\r\n\r\n")
    local body = connection:read_response().body
    connection:close()
    return body
end

local TRUSTED = "127.0.0.1,10.0.0.0/8,2001:db8:1::/48"

local function start(header)
    return server.start({ apps = { ["index.lua"] = APP },
        options = { "--workers", "1", "--forwarded-allow-ips", TRUSTED, "--forwarded-header", header } })
end

describe("X-Forwarded-For and X-Forwarded-Proto", function()
    local site

    setup(function()
        site = start("x-forwarded")
    end)
    teardown(server.clean)

    for _, case in ipairs({
        { "of one proxy", "1.2.3.4 http", "X-Forwarded-For: 1.2.3.4" },
        { "of several, of which the client has made the first up", "1.2.3.4 http",
            "X-Forwarded-For: 6.6.6.6, 1.2.3.4, 10.1.2.3,10.255.0.1" },
        { "of IPv6 networks", "2001:db8:2::1 http", "X-Forwarded-For: 2001:db8:2::1, 2001:db8:1::7" },
        { "with ports, as some write them", "1.2.3.4 http", "X-Forwarded-For: 1.2.3.4:5678, [2001:db8:1::7]:80" },
        { "in brackets", "2001:db8:2::1 http", "X-Forwarded-For: [2001:db8:2::1]" },
        { "of an IPv4 address within IPv6", "1.2.3.4 http", "X-Forwarded-For: 1.2.3.4, ::ffff:10.0.0.1" },
        { "that are all proxies", "10.0.0.2 http", "X-Forwarded-For: 10.0.0.2, 10.0.0.3" },
        { "with nonsense before them", "10.0.0.3 http", "X-Forwarded-For: unknown, 10.0.0.3" },
        { "that is nonsense", "127.0.0.1 http", "X-Forwarded-For: 1.2.3.4.5" },
        { "that is a name", "127.0.0.1 http", "X-Forwarded-For: localhost" },
        { "with empty elements", "1.2.3.4 http", "X-Forwarded-For: 6.6.6.6,1.2.3.4 ,, ," },
        { "that is empty", "127.0.0.1 http", "X-Forwarded-For:" },
        { "in several lines", "1.2.3.4 http", "X-Forwarded-For: 6.6.6.6", "X-Forwarded-For: 1.2.3.4",
            "X-Forwarded-For: 10.0.0.1" },
        { "with the scheme", "1.2.3.4 https", "X-Forwarded-For: 1.2.3.4", "X-Forwarded-Proto: HTTPS" },
        { "with the scheme, added in a line of its own", "127.0.0.1 http", "X-Forwarded-Proto: https",
            "X-Forwarded-Proto: http" },
        { "with several schemes", "127.0.0.1 https", "X-Forwarded-Proto: http, https" },
        { "with another scheme", "127.0.0.1 http", "X-Forwarded-Proto: httpsx" },
        { "beside a Forwarded that says otherwise", "1.2.3.4 http", "X-Forwarded-For: 1.2.3.4",
            "Forwarded: for=6.6.6.6;proto=https" },
        { "that are missing beside a Forwarded", "127.0.0.1 http", "Forwarded: for=6.6.6.6;proto=https" },
    }) do
        it(case[1] .. " say " .. case[2], function()
            assert.equal(case[2], asked(site, unpack(case, 3)))
        end)
    end
end)

describe("Forwarded", function()
    local site

    setup(function()
        site = start("forwarded")
    end)
    teardown(server.clean)

    for _, case in ipairs({
        { "of one proxy", "1.2.3.4 http", "Forwarded: for=1.2.3.4" },
        { "with all that there is", "1.2.3.4 https",
            "forwarded: For=1.2.3.4;Proto=https;By=10.0.0.1;HOST=shop.example" },
        { "of IPv6, quoted, with a port", "2001:db8:2::1 http", 'Forwarded: for="[2001:DB8:2::1]:4711"' },
        { "of IPv4 with a port", "1.2.3.4 http", 'Forwarded: for="1.2.3.4:4711"' },
        { "without the quotes that a port needs", "1.2.3.4 http", "Forwarded: for=1.2.3.4:4711" },
        { "with escapes", "2001:db8:2::1 https", [[Forwarded: for="\[2001:db8:2:\:1]";proto="h\ttps"]] },
        { "of several, of which the client has made the first up", "1.2.3.4 https",
            "Forwarded: for=6.6.6.6, for=1.2.3.4;proto=https, for=10.0.0.1;proto=http" },
        { "in several lines", "1.2.3.4 http", "Forwarded: for=6.6.6.6;proto=https", "Forwarded: for=1.2.3.4",
            "Forwarded: for=10.0.0.1" },
        { "whose client asked with http", "1.2.3.4 http",
            "Forwarded: for=6.6.6.6;proto=https, for=1.2.3.4;proto=http, for=10.0.0.1;proto=https" },
        { "with blanks and empty elements", "1.2.3.4 https",
            "Forwarded: , for=6.6.6.6 ,\t,for=1.2.3.4; ;proto=https; , ," },
        { "with an unknown client", "10.0.0.1 https", "Forwarded: for=6.6.6.6, for=unknown;proto=https, for=10.0.0.1" },
        { "with a hidden client", "127.0.0.1 https", 'Forwarded: for=6.6.6.6, for="_gazonk";proto=https' },
        { "with a hidden port", "127.0.0.1 http", 'Forwarded: for="1.2.3.4:_x"' },
        { "without a client", "127.0.0.1 https", "Forwarded: for=6.6.6.6, proto=https" },
        { "with what nobody knows", "1.2.3.4 http", 'Forwarded: secret="a,b;c=\\"d";for=1.2.3.4' },
        { "behind a quote that nobody closes", "1.2.3.4 http", 'Forwarded: for=6.6.6.6;x=", for=1.2.3.4' },
        { "behind a quote that swallows", "2001:db8:2::1 http", 'Forwarded: for=6.6.6.6;x=", for="[2001:db8:2::1]"' },
        { "behind a backslash", "2001:db8:2::1 http", 'Forwarded: for=6.6.6.6;x="\\, for="[2001:db8:2::1]"' },
        { "with text behind a quote", "127.0.0.1 http", 'Forwarded: for="1.2.3.4"x' },
        { "without equal signs", "127.0.0.1 http", "Forwarded: 1.2.3.4" },
        { "with blanks around the equal sign", "127.0.0.1 http", "Forwarded: for = 1.2.3.4" },
        { "that names two clients in one element", "127.0.0.1 http", "Forwarded: for=1.2.3.4;for=6.6.6.6" },
        { "that is empty", "127.0.0.1 http", "Forwarded:" },
        { "with a bad address", "127.0.0.1 http", 'Forwarded: for="[2001:db8:2::1"' },
        { "beside X-Forwarded-For that says otherwise", "1.2.3.4 http", "Forwarded: for=1.2.3.4",
            "X-Forwarded-For: 6.6.6.6", "X-Forwarded-Proto: https" },
        { "that is missing beside X-Forwarded-For", "127.0.0.1 http", "X-Forwarded-For: 6.6.6.6",
            "X-Forwarded-Proto: https" },
    }) do
        it(case[1] .. " says " .. case[2], function()
            assert.equal(case[2], asked(site, unpack(case, 3)))
        end)
    end

    it("of others than the listed is not believed", function()
        local other = server.start({ apps = { ["index.lua"] = APP }, options = { "--workers", "1",
            "--forwarded-allow-ips", "10.0.0.1", "--forwarded-header", "forwarded" } })
        assert.equal("127.0.0.1 http", asked(other, "Forwarded: for=1.2.3.4;proto=https"))
    end)
end)

describe("moonloop.proxy behind proxies that write Forwarded", function()
    local site, upstream

    setup(function()
        upstream = origin.start()
        site = server.start({ apps = { ["index.lua"] = relay.APP }, options = { "--workers", "1",
            "--forwarded-allow-ips", TRUSTED, "--forwarded-header", "forwarded" } })
    end)
    teardown(function()
        server.clean()
        upstream:stop()
    end)

    local function passed_on(headers)
        return relay.fields_of(site:get(("/to/%d/echo"):format(upstream.port), { headers = headers }).body)
    end

    it("appends to it, says the same in X-Forwarded-*, and drops what the client made up of those", function()
        local fields = passed_on({
            Forwarded = 'for=6.6.6.6, for="[2001:db8:2::1]:80";proto=https;host="shop.example:8443",'
                .. " for=10.0.0.1;by=_x",
            ["X-Forwarded-For"] = "6.6.6.6", ["X-Forwarded-Host"] = "evil", ["X-Forwarded-Proto"] = "http",
            ["X-Real-IP"] = "6.6.6.6",
        })
        assert.equal('for=6.6.6.6, for="[2001:db8:2::1]";proto=https;host="shop.example:8443", for=10.0.0.1,'
            .. " for=127.0.0.1;proto=http;host=localhost", fields.forwarded)
        assert.equal("6.6.6.6, 2001:db8:2::1, 10.0.0.1, 127.0.0.1", fields["x-forwarded-for"])
        assert.equal("https", fields["x-forwarded-proto"])
        assert.equal("shop.example:8443", fields["x-forwarded-host"])
        assert.is_nil(fields["x-real-ip"])
    end)

    it("passes on what is well-formed at its end alone", function()
        local fields = passed_on({ Forwarded = 'for="x, for=_hidden;proto="HTTPS";host="a b"' })
        assert.equal('for=_hidden;proto=HTTPS;host="a b", for=127.0.0.1;proto=http;host=localhost', fields.forwarded)
        assert.equal("_hidden, 127.0.0.1", fields["x-forwarded-for"])
        assert.equal("https", fields["x-forwarded-proto"])
        assert.equal("localhost", fields["x-forwarded-host"])
    end)

    it("sends none of its own to who did not send one", function()
        local fields = passed_on({ ["X-Forwarded-For"] = "6.6.6.6" })
        assert.is_nil(fields.forwarded)
        assert.equal("127.0.0.1", fields["x-forwarded-for"])
    end)
end)

describe("an https URL as a target in plain", function()
    after_each(server.clean)

    local function answer(trusted)
        local site = server.start({ apps = { ["index.lua"] = APP }, options = { "--workers", "1",
            "--forwarded-allow-ips", trusted } })
        return site:raw("GET https://a/ HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    end

    it("is refused: it was meant for another door (RFC 9110, 7.4)", function()
        assert.matches("^HTTP/1.1 421 .*\nhttps is not spoken on this connection\n$", answer("10.0.0.1"))
    end)

    it("is served to a proxy that is believed", function()
        assert.matches("^HTTP/1.1 200 ", answer("127.0.0.1"))
    end)
end)
