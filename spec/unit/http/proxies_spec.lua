--- Which proxy a request goes through.

local proxies = require("moonloop.http.proxies")

local function choose(variables, url)
    local found = proxies.from_variables(function(name)
        return variables[name]
    end)
    return found and proxies.choose(found, { method = "GET", url = url })
end

describe("the environment's proxy", function()
    it("is the one of the scheme, in small letters rather than in capitals", function()
        local all = { http_proxy = "http://a:1", HTTP_PROXY = "http://b:1", HTTPS_PROXY = "c:2" }
        assert.equal("http://a:1", choose(all, "http://example.com/"))
        assert.equal("c:2", choose(all, "https://example.com/"))
        assert.equal("http://b:1", choose({ HTTP_PROXY = "http://b:1" }, "http://example.com/"))
        assert.is_nil(choose({ HTTP_PROXY = "http://b:1" }, "https://example.com/"))
        assert.is_nil(choose({}, "http://example.com/"))
    end)

    it("is ALL_PROXY where the scheme has none", function()
        local all = { ALL_PROXY = "socks5://a:1", HTTPS_PROXY = "http://b:1" }
        assert.equal("socks5://a:1", choose(all, "http://example.com/"))
        assert.equal("http://b:1", choose(all, "https://example.com/"))
    end)

    it("is none when its variable is empty", function()
        assert.is_nil(choose({ http_proxy = "", HTTP_PROXY = "a:1", ALL_PROXY = "a:1" }, "http://example.com/"))
        assert.equal("a:1", choose({ http_proxy = "", all_proxy = "a:1" }, "https://example.com/"))
    end)

    it("is not HTTP_PROXY in a CGI program, where a client could set it", function()
        assert.is_nil(choose({ HTTP_PROXY = "http://b:1", REQUEST_METHOD = "GET" }, "http://example.com/"))
        assert.equal("http://a:1", choose({ http_proxy = "http://a:1", REQUEST_METHOD = "GET" }, "http://example.com/"))
    end)

    it("never lies between this machine and itself, nor before a Unix socket", function()
        for _, host in ipairs({ "localhost", "LOCALHOST.", "app.localhost", "127.0.0.1", "127.9.8.7", "[::1]",
            "[::ffff:127.0.0.1]" }) do
            assert.is_nil(choose({ HTTP_PROXY = "http://b:1" }, "http://" .. host .. ":8080/"), host)
        end
        assert.is_nil(choose({ HTTP_PROXY = "http://b:1" }, "http+unix://%2Frun%2Fa.sock/"))
        assert.equal("b:1", choose({ HTTP_PROXY = "b:1" }, "http://localhost.example.com/"))
        assert.equal("b:1", choose({ HTTP_PROXY = "b:1" }, "http://128.0.0.1/"))
    end)

    it("that is none is an error that does not tell the password", function()
        for value, reason in pairs({
            ["https://Ann:secret@proxy:1"] = "TLS to a proxy is not supported",
            ["ftp://Ann:secret@proxy:1"] = "the scheme is none of http, socks5, socks5h",
            ["http://Ann:secret@proxy:99999"] = "the port is not a number from 1 to 65535",
            ["http://Ann:secret@proxy/path"] = "nothing may follow host and port",
            ["http://"] = "the host is missing",
            ["http://Ann:sec%0aret@proxy"] = "user and password hold a control character",
            ["http://Ann%3aB:secret@proxy"] = "the user holds a colon",
            ["socks5://" .. ("A"):rep(256) .. ":secret@proxy"] = "at most 255 bytes",
        }) do
            local ok, err = pcall(choose, { HTTPS_PROXY = value }, "https://example.com/")
            assert.is_false(ok)
            assert.equal("refused", err.code)
            assert.matches("GET https://example.com/: the environment variable HTTPS_PROXY names no proxy: ",
                err.message, 1, true)
            assert.matches(reason, err.message, 1, true)
            assert.is_nil(err.message:find("sec", 1, true))
        end
    end)
end)

describe("NO_PROXY", function()
    local function is_direct(list, ...)
        for _, place in ipairs({ ... }) do
            local url = "http://" .. place .. "/"
            assert.is_nil(choose({ HTTP_PROXY = "p:1", NO_PROXY = list }, url), list .. " and " .. place)
        end
    end

    local function is_proxied(list, ...)
        for _, place in ipairs({ ... }) do
            local url = "http://" .. place .. "/"
            assert.equal("p:1", choose({ HTTP_PROXY = "p:1", NO_PROXY = list }, url), list .. " and " .. place)
        end
    end

    it("names hosts, with all that end in them", function()
        for _, list in ipairs({ "example.com", ".example.com", "*.example.com", "Example.COM.", "a,example.com",
            " a , example.com ", "a example.com" }) do
            is_direct(list, "example.com", "EXAMPLE.com", "www.example.com", "a.b.example.com:8080", "example.com.")
            is_proxied(list, "badexample.com", "example.com.evil", "example.org")
        end
        is_direct("*", "example.com", "10.0.0.1")
        is_proxied("", "example.com")
        is_proxied(",,.,*.", "example.com")
    end)

    it("names ports", function()
        is_direct("example.com:8080", "example.com:8080", "www.example.com:8080")
        is_proxied("example.com:8080", "example.com", "example.com:80")
        is_direct("example.com:80", "example.com")
        is_direct("10.0.0.1:81,[fd00::1]:81", "10.0.0.1:81", "[fd00::1]:81")
        is_proxied("10.0.0.1:81,[fd00::1]:81", "10.0.0.1", "[fd00::1]:82")
    end)

    it("names addresses and networks", function()
        is_direct("10.0.0.1,fd00::1,[fd00::2]", "10.0.0.1", "[fd00::1]", "[fd00:0:0::1]", "[fd00::2]")
        is_proxied("10.0.0.1", "10.0.0.10", "110.0.0.1", "[fd00::1]")
        is_direct("10.0.0.0/8,192.168.4.0/22,fd00::/9", "10.255.0.1", "192.168.7.255", "[fd7f::1]")
        is_proxied("10.0.0.0/8,192.168.4.0/22,fd00::/9", "11.0.0.1", "192.168.8.0", "[fd80::1]", "a10.0.0.1")
        is_direct("0.0.0.0/0", "1.2.3.4")
        is_proxied("0.0.0.0/0", "example.com", "[fd00::1]")
        is_proxied("10.0.0.0/33,10.0.0/8,x/8,/8,10.0.0.0/", "10.0.0.1")
    end)

    it("beats no option", function()
        local chosen = proxies.of_option("http://p:1", nil)
        assert.equal("http://p:1", proxies.choose(chosen, { method = "GET", url = "http://127.0.0.1/" }))
        assert.is_nil(proxies.of_option(false, chosen))
        assert.equal(chosen, proxies.of_option(nil, chosen))
    end)
end)
