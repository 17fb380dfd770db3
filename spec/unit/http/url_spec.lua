local ffi = require("ffi")
local core = require("spec.support.core")
core.declare("http/url.h")
local lib, str, text = core.lib, core.str, core.text

local SCHEMES = { [0] = "http", "https", "http+unix" }

local function parse(source)
    local url, err, anchor = ffi.new("struct url"), ffi.new("struct url_error"), str(source)
    if lib.url_parse(anchor, url, err) ~= 0 then
        return nil, ffi.string(err.reason), tonumber(err.offset)
    end
    return {
        scheme = SCHEMES[url.scheme], host = text(url.host), port = url.port, path = text(url.path),
        query = url.has_query and text(url.query) or nil,
        user = url.has_userinfo and text(url.userinfo) or nil,
        fragment = url.fragment.len > 0 and text(url.fragment) or nil,
        ipv6 = url.is_ipv6 or nil,
    }, url, anchor
end

local function collect(fn, ...)
    local buf = ffi.gc(ffi.new("struct buf"), lib.buf_deinit)
    local err = fn(buf, ...)
    return ffi.string(buf.ptr, buf.len), err
end

describe("url_parse", function()
    it("takes an absolute URL apart", function()
        assert.same({ scheme = "http", host = "a.example", port = 80, path = "" }, (parse("http://a.example")))
        assert.same({ scheme = "https", host = "A.example", port = 8443, path = "/x/y", query = "a=1?b",
            user = "me:se%20cret", fragment = "top" }, (parse("HTTPS://me:se%20cret@A.example:8443/x/y?a=1?b#top")))
        assert.same({ scheme = "http", host = "::1", port = 99, path = "/", ipv6 = true }, (parse("http://[::1]:99/")))
        assert.same({ scheme = "https", host = "fe80::1.2.3.4", port = 443, path = "", query = "", ipv6 = true },
            (parse("https://[fe80::1.2.3.4]?")))
        assert.same({ scheme = "http+unix", host = "%2Frun%2Fa.sock", port = 0, path = "/s" },
            (parse("http+unix://%2Frun%2Fa.sock/s")))
        assert.same({ scheme = "http", host = "a", port = 80, path = "/@:" }, (parse("http://a:/@:")))
    end)

    it("says what is wrong and where", function()
        for source, expected in pairs({
            [""] = { "absolute", 0 }, ["/a"] = { "absolute", 0 }, ["a.example/x"] = { "absolute", 0 },
            ["http:/a"] = { "absolute", 0 }, ["http:a"] = { "absolute", 0 },
            ["ftp://a/"] = { "scheme", 0 }, ["://a"] = { "scheme", 0 },
            ["http://"] = { "host is missing", 7 }, ["http:///x"] = { "host is missing", 7 },
            ["http://:80/"] = { "host is missing", 7 }, ["http://u@/"] = { "host is missing", 9 },
            ["http://a b/"] = { "space", 8 }, ["http://a/b c"] = { "space", 10 },
            ["http://a/\r\nX: y"] = { "control", 9 }, ["http://a/\0"] = { "control", 9 },
            ["http://a/\127"] = { "control", 9 }, ["http://a\\b/"] = { "backslash", 8 },
            ["http://a:0/"] = { "port", 9 }, ["http://a:65536/"] = { "port", 9 },
            ["http://a:8x/"] = { "port", 9 }, ["http://a:-1/"] = { "port", 9 },
            ["http://a:80:80/"] = { "port", 9 }, ["http://u@v@a/"] = { "second @", 8 },
            ["http://a%2eb/"] = { "character", 8 }, ["http://a,b/"] = { "character", 8 },
            ["http://münchen.example/"] = { "ASCII", 8 }, ["http://[::1/"] = { "without its ]", 7 },
            ["http://[::g]/"] = { "IPv6", 8 }, ["http://[1.2.3.4]/"] = { "IPv6", 8 },
            ["http://[::1]x/"] = { "follow", 12 }, ["http://[fe80::1%25eth0]/"] = { "IPv6", 8 },
            ["http+unix:///run/a.sock"] = { "http+unix://%2Frun%2Fapp.sock/path", 12 },
            ["http://unix:/run/a.sock:/"] = { "http+unix://%2Frun%2Fapp.sock/path", 7 },
            ["unix:/run/a.sock:/"] = { "http+unix://%2Frun%2Fapp.sock/path", 0 },
            ["http+unix://%2/"] = { "hexadecimal", 12 },
            ["http://" .. ("a"):rep(254)] = { "253", 7 },
        }) do
            local url, reason, offset = parse(source)
            assert.is_nil(url, source)
            assert.truthy(reason:find(expected[1], 1, true), source .. ": " .. reason)
            assert.equal(expected[2], offset, source)
        end
    end)

    it("writes request target and Host", function()
        for source, expected in pairs({
            ["http://a"] = { "/", "a" }, ["http://a?x=1"] = { "/?x=1", "a" },
            ["http://a:80/b#c"] = { "/b", "a" }, ["https://a:80/"] = { "/", "a:80" },
            ["https://[::1]:444/é?ü=%41%"] = { "/%C3%A9?%C3%BC=%41%25", "[::1]:444" },
            ['http://a/"<>^`{|}[]'] = { "/%22%3C%3E%5E%60%7B%7C%7D%5B%5D", "a" },
            ["http+unix://%2Fs/x"] = { "/x", "localhost" },
        }) do
            local _, url, anchor = parse(source)
            assert.is_not_nil(anchor) -- url borrows from it
            assert.equal(expected[1], (collect(lib.url_add_target, url)))
            assert.equal(expected[2], (collect(lib.url_add_host, url)))
        end
    end)

    it("compares origins", function()
        local function same(a, b)
            local _, first, anchor = parse(a)
            local _, second, other_anchor = parse(b)
            return lib.url_same_origin(first, second), anchor, other_anchor
        end
        assert.is_true((same("http://A/x", "http://a:80/y?z")))
        assert.is_false((same("http://a/", "https://a/")))
        assert.is_false((same("http://a/", "http://a:81/")))
        assert.is_false((same("http+unix://%2FA/", "http+unix://%2Fa/")))
    end)
end)

describe("url_resolve", function()
    local function resolve(reference, base)
        return (collect(lib.url_resolve, str(base or "http://a/b/c/d;p?q"), str(reference)))
    end

    it("agrees with the examples of RFC 3986, 5.4", function()
        for reference, expected in pairs({
            ["g:h"] = "g:h", ["g"] = "http://a/b/c/g", ["./g"] = "http://a/b/c/g", ["g/"] = "http://a/b/c/g/",
            ["/g"] = "http://a/g", ["//g"] = "http://g", ["?y"] = "http://a/b/c/d;p?y",
            ["g?y"] = "http://a/b/c/g?y", ["#s"] = "http://a/b/c/d;p?q#s", ["g#s"] = "http://a/b/c/g#s",
            ["g?y#s"] = "http://a/b/c/g?y#s", [";x"] = "http://a/b/c/;x", ["g;x"] = "http://a/b/c/g;x",
            ["g;x?y#s"] = "http://a/b/c/g;x?y#s", [""] = "http://a/b/c/d;p?q", ["."] = "http://a/b/c/",
            ["./"] = "http://a/b/c/", [".."] = "http://a/b/", ["../"] = "http://a/b/", ["../g"] = "http://a/b/g",
            ["../.."] = "http://a/", ["../../"] = "http://a/", ["../../g"] = "http://a/g",
            ["../../../g"] = "http://a/g", ["../../../../g"] = "http://a/g", ["/./g"] = "http://a/g",
            ["/../g"] = "http://a/g", ["g."] = "http://a/b/c/g.", [".g"] = "http://a/b/c/.g",
            ["g.."] = "http://a/b/c/g..", ["..g"] = "http://a/b/c/..g", ["./../g"] = "http://a/b/g",
            ["./g/."] = "http://a/b/c/g/", ["g/./h"] = "http://a/b/c/g/h", ["g/../h"] = "http://a/b/c/h",
            ["g;x=1/./y"] = "http://a/b/c/g;x=1/y", ["g;x=1/../y"] = "http://a/b/c/y",
            ["g?y/./x"] = "http://a/b/c/g?y/./x", ["g?y/../x"] = "http://a/b/c/g?y/../x",
            ["g#s/../x"] = "http://a/b/c/g#s/../x",
        }) do
            assert.equal(expected, resolve(reference), reference)
        end
    end)

    it("handles bases without a path, fragments and other schemes", function()
        assert.equal("http://a/g", resolve("g", "http://a"))
        assert.equal("http://a/g?x", resolve("g?x", "http://a?q"))
        assert.equal("http://a/g#f", resolve("/g", "http://a/b#f"))
        assert.equal("https://b/x", resolve("https://b/./y/../x", "http://a/"))
        assert.equal("http://a/b//d", resolve("/b//c/../d", "http://a/"))
        local _, err = collect(lib.url_resolve, str("/no/scheme"), str("g"))
        assert.equal(-22, err)
    end)
end)

describe("url_parse and url_resolve, with damaged text", function()
    local seed = tonumber(os.getenv("SEED")) or os.time()
    local SAMPLES = {
        "https://me:pw@a.example:8443/x/../y?a=1#f", "http://[::1]:80/%41", "http+unix://%2Fs/x", "../../g;x=1/./y?q#s",
    }

    it("accept only what holds no byte that could end a header (seed " .. seed .. ")", function()
        math.randomseed(seed)
        for _ = 1, 3000 do
            local sample = SAMPLES[math.random(#SAMPLES)]
            local at = math.random(0, #sample)
            local damaged = sample:sub(1, at) .. string.char(math.random(0, 255)) .. sample:sub(at + math.random(1, 9))
            local parsed, url, anchor = parse(damaged)
            if parsed then
                assert.is_not_nil(anchor)
                assert.is_nil(damaged:find("[%z\1-\32\127\\\\]"))
                assert.truthy(collect(lib.url_add_target, url):find("^/[!-~]*$"))
                assert.truthy(collect(lib.url_add_host, url):find("^[%w%.:_%[%]-]+$"))
            end
            local resolved = collect(lib.url_resolve, str("http://a/b/c?d"), str(damaged))
            assert.truthy(resolved:find("^[^:/?#]*:"))
        end
    end)
end)
