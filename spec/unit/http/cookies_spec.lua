--- The cookie jar without a server: what RFC 6265bis takes, refuses and sends.

local http = require("moonloop.http")
local json = require("moonloop.json")

local URL = "https://www.example.com/dir/page?q#f"

---What of these lines, set by `url`, goes to `to`.
local function sent(lines, to, url)
    local jar = http.cookies()
    for _, line in ipairs(type(lines) == "table" and lines or { lines }) do
        jar:set(url or URL, line)
    end
    return jar:header(to or url or URL)
end

local function refused(pattern, line, url)
    local jar = http.cookies()
    local is_taken, reason = jar:set(url or URL, line)
    assert.is_false(is_taken, line)
    assert.matches(pattern, reason)
    assert.same({}, jar:all())
end

describe("a Set-Cookie line", function()
    it("is read leniently", function()
        assert.equal("a=b", sent("a=b"))
        assert.equal("a=b", sent("  a \t=  b  ; Foo; Bar=baz;;"))
        assert.equal('a="b c"', sent('a="b c"'))
        assert.equal("a=b=c", sent("a=b=c"))
        assert.equal("a=", sent("a="))
        assert.equal("b", sent("=b"))
        assert.equal("b", sent("b"))
        assert.equal("a=ä", sent("a=ä"))
        assert.equal("a=1", sent("a=1; SAMESITE=Strict; priority=high"))
    end)

    it("with nothing, with control characters or too much in it is refused", function()
        refused("neither name nor value", "")
        refused("neither name nor value", " = ; Path=/")
        refused("control character", "a=b\0c")
        refused("control character", "a=b\r\nX: 1")
        refused("control character", "a=b; Path=/\127")
        refused("longer than 4096", "a=" .. ("x"):rep(4096))
        assert.equal("a=" .. ("x"):rep(4095), sent("a=" .. ("x"):rep(4095)))
    end)

    it("replaces the one of the same name, domain and path", function()
        assert.equal("a=2", sent({ "a=1", "a=2" }))
        assert.equal("a=1; a=2", sent({ "a=1", "a=2; Path=/" }))
        assert.equal("a=1; a=2", sent({ "a=1", "a=2; Domain=www.example.com" }))
        assert.equal("a=1; A=2", sent({ "a=1", "A=2" }))
    end)
end)

describe("a cookie's domain", function()
    it("is its host alone, unless it says another", function()
        assert.equal("a=1", sent("a=1", "https://WWW.Example.COM/dir/x"))
        assert.is_nil(sent("a=1", "https://example.com/dir/x"))
        assert.is_nil(sent("a=1", "https://x.www.example.com/dir/x"))
        for _, domain in ipairs({ "example.com", ".example.com", "EXAMPLE.com" }) do
            assert.equal("a=1", sent("a=1; Domain=" .. domain, "https://example.com/dir/x"))
            assert.equal("a=1", sent("a=1; Domain=" .. domain, "https://a.b.example.com/dir/x"))
            assert.is_nil(sent("a=1; Domain=" .. domain, "https://anexample.com/dir/x"))
            assert.is_nil(sent("a=1; Domain=" .. domain, "https://com/dir/x"))
        end
        assert.is_nil(sent("a=1; Domain=", "https://example.com/dir/x"))
        assert.equal("a=1", sent("a=1; Domain=evil.example; Domain=example.com", "https://example.com/dir/x"))
    end)

    it("is none that the server does not belong to, nor one that is open to all", function()
        refused("not that of the server", "a=1; Domain=evil.example")
        refused("not that of the server", "a=1; Domain=a.www.example.com")
        refused("not that of the server", "a=1; Domain=ample.com")
        refused("public suffix", "a=1; Domain=com")
        refused("public suffix", "a=1; Domain=.com")
        refused("public suffix", "a=1; Domain=com.")
        refused("public suffix", "a=1; Domain=co.uk", "https://example.co.uk/")
        refused("public suffix", "a=1; Domain=github.io", "https://ann.github.io/")
        refused("public suffix", "a=1; Domain=kawasaki.jp", "https://x.y.kawasaki.jp/")
        assert.equal("a=1", sent("a=1; Domain=city.kawasaki.jp", "https://x.city.kawasaki.jp/dir/",
            "https://city.kawasaki.jp/dir/"))
        assert.equal("a=1", sent("a=1; Domain=co.uk", "https://co.uk/dir/", "https://co.uk/dir/"))
        assert.is_nil(sent("a=1; Domain=co.uk", "https://a.co.uk/dir/", "https://co.uk/dir/"))
    end)

    it("may be a name of one label for that host alone", function()
        assert.equal("a=1", sent("a=1; Domain=localhost", "http://localhost:80/", "http://localhost/"))
        assert.is_nil(sent("a=1; Domain=localhost", "http://a.localhost/", "http://localhost/"))
    end)

    it("is an address as it is, and no part of one", function()
        assert.equal("a=1", sent("a=1", "http://127.0.0.1:8080/", "http://127.0.0.1/"))
        assert.equal("a=1", sent("a=1; Domain=127.0.0.1", "http://127.0.0.1/", "http://127.0.0.1/"))
        refused("not that of the server", "a=1; Domain=0.0.1", "http://127.0.0.1/")
        assert.equal("a=1", sent("a=1", "http://[::1]:8080/", "http://[::1]/"))
        assert.is_nil(sent("a=1", "http://[::2]/", "http://[::1]/"))
    end)

    it("knows no ports, and no Unix sockets", function()
        assert.equal("a=1", sent("a=1", "https://www.example.com:444/dir/x"))
        local jar = http.cookies()
        assert.is_nil(jar:header("http+unix://%2Ftmp%2Fa/"))
        assert.is_false((pcall(jar.set, jar, "http+unix://%2Ftmp%2Fa/", "a=1")))
    end)
end)

describe("a cookie's path", function()
    local function reaches(path, of_cookie, from)
        return sent("a=1" .. (of_cookie and "; Path=" .. of_cookie or ""), "https://www.example.com" .. path,
            "https://www.example.com" .. (from or "/dir/page")) ~= nil
    end

    it("is where it came from, or what it says", function()
        assert.is_true(reaches("/dir/", nil))
        assert.is_true(reaches("/dir", nil))
        assert.is_true(reaches("/dir/a/b?c", nil))
        assert.is_false(reaches("/directory", nil))
        assert.is_false(reaches("/", nil))
        assert.is_true(reaches("/x", nil, "/page"))
        assert.is_true(reaches("/x", nil, ""))
        assert.is_true(reaches("/a/b", "/a"))
        assert.is_true(reaches("/a/b", "/a/"))
        assert.is_false(reaches("/a", "/a/"))
        assert.is_false(reaches("/ab", "/a"))
        assert.is_true(reaches("/dir/x", "relative"))
        assert.is_true(reaches("/dir/x", ""))
        assert.is_false(reaches("/A", "/a"))
    end)

    it("orders what is sent: the longer one first, then the older", function()
        assert.equal("c=3; a=1; d=4; b=2", sent({ "a=1; Path=/dir", "b=2; Path=/", "c=3; Path=/dir/page", "d=4" }))
        assert.equal("a=3; b=2", sent({ "a=1", "b=2", "a=3" })) -- a is as old as it was
    end)
end)

describe("a secure cookie", function()
    it("comes and goes over https alone", function()
        assert.equal("a=1", sent("a=1; Secure"))
        assert.is_nil(sent("a=1; Secure", "http://www.example.com/dir/x"))
        refused("did not come over https", "a=1; secure", "http://www.example.com/")
    end)

    it("is not replaced from plain http", function()
        local jar = http.cookies()
        jar:set("https://www.example.com/", "a=1; Secure; Domain=example.com; Path=/in")
        for _, case in ipairs({
            { "http://www.example.com/", "a=2; Path=/in" }, { "http://www.example.com/", "a=2; Path=/in/side" },
            { "http://example.com/", "a=2; Path=/in" },
            { "http://sub.www.example.com/", "a=2; Domain=example.com; Path=/in" },
        }) do
            local is_taken, reason = jar:set(case[1], case[2])
            assert.is_false(is_taken)
            assert.matches("the place of a secure one", reason)
        end
        assert.is_true(jar:set("http://www.example.com/", "a=2; Path=/"))
        assert.is_true(jar:set("http://www.example.com/", "b=2; Path=/in"))
        assert.is_true(jar:set("https://www.example.com/", "a=3; Domain=example.com; Path=/in"))
        assert.equal("3", jar:get("https://www.example.com/in", "a"))
    end)

    it("keeps the promise of its name", function()
        refused("__Secure%-", "__Secure-a=1")
        refused("__Secure%-", "__sEcure-a=1")
        assert.equal("__Secure-a=1", sent("__Secure-a=1; Secure"))
        refused("__Host%-", "__Host-a=1; Path=/")
        refused("__Host%-", "__Host-a=1; Secure; Path=/dir")
        refused("__Host%-", "__Host-a=1; Secure", "https://www.example.com/")
        refused("__Host%-", "__Host-a=1; Secure; Path=/; Domain=www.example.com")
        assert.equal("__Host-a=1", sent("__Host-a=1; Secure; Path=/"))
        refused("its value looks like one", "=__Secure-a=1; Secure")
        refused("its value looks like one", "__Host-a; Secure; Path=/")
    end)
end)

describe("a cookie's life", function()
    local function life(line)
        local jar = http.cookies()
        jar:set(URL, line)
        local cookie = jar:all()[1]
        return cookie and (cookie.expires and cookie.expires - os.time() or "session")
    end

    it("is the session, or as long as it says, and at most 400 days", function()
        assert.equal("session", life("a=1"))
        assert.equal("session", life("a=1; Expires=never; Max-Age=soon"))
        assert.is_true(math.abs(life("a=1; Max-Age=60") - 60) < 3)
        assert.is_true(math.abs(life("a=1; Max-Age=99999999999999999999") - 400 * 86400) < 3)
        assert.is_true(math.abs(life("a=1; Expires=Sun, 06 Nov 2094 08:49:37 GMT") - 400 * 86400) < 3)
        assert.is_true(math.abs(life("a=1; Max-Age=60; Expires=Sun, 06 Nov 1994 08:49:37 GMT") - 60) < 3)
    end)

    it("ends at once when it is over", function()
        assert.is_nil(life("a=1; Max-Age=0"))
        assert.is_nil(life("a=1; Max-Age=-5"))
        assert.is_nil(life("a=1; Expires=Sun, 06 Nov 1994 08:49:37 GMT"))
        assert.is_nil(sent({ "a=1", "a=2; Max-Age=0" }))
        assert.equal("a=1", sent({ "a=1", "a=2; Path=/; Max-Age=0" }))
    end)
end)

describe("a jar", function()
    it("lets the unused go beyond its limits, those that are secure last", function()
        local jar = http.cookies(nil, { per_domain = 3, total = 5 })
        jar:set(URL, "s=0; Secure")
        jar:set(URL, "a=1")
        jar:set(URL, "b=2")
        jar:set(URL, "c=3")
        assert.equal("s=0; b=2; c=3", jar:header(URL))
        jar:set("https://b.example/", "x=1")
        jar:set("https://c.example/", "y=1")
        assert.equal(5, #jar:all())
        jar:header("https://b.example/")
        jar:set("https://d.example/", "z=1")
        assert.equal(5, #jar:all())
        assert.equal("s=0; c=3", jar:header(URL))
        assert.equal("x=1", jar:header("https://b.example/"))
    end)

    it("lets what has expired go first", function()
        local now = require("moonloop.clock").wall()
        local all = {}
        for i = 1, 3 do
            all[i] = { name = "n" .. i, value = "v", domain = "example.com", host_only = true, path = "/",
                secure = false, http_only = false, expires = i == 3 and now + 0.02 or nil }
        end
        local jar = http.cookies(all, { per_domain = 3 })
        require("moonloop").sleep(0.03)
        jar:set("http://example.com/", "new=1")
        assert.equal("n1=v; n2=v; new=1", jar:header("http://example.com/"))
    end)

    it("gives, forgets and shows what it has", function()
        local jar = http.cookies()
        jar:set(URL, "a=1; Domain=example.com; Path=/; HttpOnly")
        jar:set("https://other.example/", "b=2")
        assert.equal("1", jar:get("https://x.example.com/", "a"))
        assert.is_nil(jar:get("https://x.example.com/", "b"))
        assert.equal("cookie jar (2 cookies)", tostring(jar))
        assert.same({ name = "a", value = "1", domain = "example.com", host_only = false, path = "/", secure = false,
            http_only = true }, jar:all()[1])
        jar:clear("EXAMPLE.com")
        assert.equal(1, #jar:all())
        jar:clear()
        assert.same({}, jar:all())
        assert.is_nil(jar:header(URL))
    end)

    it("is saved and loaded as plain data", function()
        local jar = http.cookies()
        jar:set(URL, "a=1; Max-Age=60")
        jar:set(URL, "b=2; Secure; Domain=example.com; Path=/")
        local loaded = http.cookies(json.decode(json.encode(jar:all())))
        assert.equal("a=1; b=2", loaded:header(URL))
        assert.same(jar:all(), loaded:all())
        loaded:set(URL, "a=3")
        assert.equal("a=1; b=2", jar:header(URL))
    end)

    it("is loaded as it was saved, tabs in values included", function()
        local jar = http.cookies()
        assert.is_true(jar:set(URL, "a b\tc = d\te; Path=/"))
        assert.equal("a b\tc=d\te", http.cookies(jar:all()):header(URL))
    end)

    it("refuses what is none of that", function()
        local good = { name = "a", value = "b", domain = "c.de", host_only = true, path = "/", secure = false,
            http_only = false }
        local function refuses(pattern, name, value)
            local cookie = {}
            for each, is in pairs(good) do
                cookie[each] = is
            end
            cookie[name] = value
            local ok, err = pcall(http.cookies, { cookie })
            assert.is_false(ok)
            assert.matches("cookies_spec.lua:%d+: http.cookies: " .. pattern, err)
        end
        refuses("cookie 1: name: expected a string, got a number", "name", 1)
        refuses("cookie 1: expires: expected seconds since 1970, got a string", "expires", "tomorrow")
        refuses("cookie 1: its name or value holds a character", "value", "a\r\nX: 1")
        refuses("cookie 1: its name or value holds a character", "name", "a;b")
        local function misuse(pattern, ...)
            local ok, err = pcall(...)
            assert.is_false(ok)
            assert.matches(pattern, err)
        end
        misuse("expected what jar:all%(%) gives, got a string", http.cookies, "a=b")
        misuse("cookie 1: expected what jar:all%(%) gives", http.cookies, { "a=b" })
        misuse("option total: expected how many", http.cookies, nil, { total = 0 })
        misuse("unknown option size", http.cookies, nil, { size = 0 })
        local jar = http.cookies()
        misuse("jar:set: expected an http or https URL, got a=b", jar.set, jar, "a=b")
        misuse("jar:set: expected the value of a Set%-Cookie field", jar.set, jar, URL, 7)
        misuse("jar:clear: expected a domain", jar.clear, jar, 7)
        misuse("call it with a colon", jar.get, URL, "a")
    end)
end)
