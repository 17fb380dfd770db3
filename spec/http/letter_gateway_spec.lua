--- What RFC 9110 and RFC 9112 ask of a gateway, moonloop.proxy, beside what spec/http/proxy_spec.lua shows of it.

local relay = require("spec.support.relay")
local server = require("spec.support.server")

local to = relay.to

describe("a gateway", function()
    local site, upstream

    setup(function()
        site, upstream = relay.start()
    end)

    teardown(function()
        server.clean()
        upstream:stop()
    end)

    ---The answer to raw bytes for the server behind that sends `bytes`.
    local function answered(bytes, after)
        local path = upstream:reply(bytes, after):match("^http://[^/]+(.*)$")
        return site:request("GET", to(upstream.port, path))
    end

    ---The request as the server behind sees it.
    local function passed(line, fields)
        local method, rest = line:match("^(%S+)(.*)$")
        local text = site:raw(("%s %s%s\r\nHost: a\r\nConnection: close\r\n%s\r\n"):format(method,
            to(upstream.port, "/echo"), rest, fields or ""))
        return text:match("\r\n\r\n(.*)$")
    end

    it("speaks its own version, whatever the client's was", function()
        assert.matches("^GET /echo HTTP/1%.1\r\n", passed("GET HTTP/1.0"))
        assert.matches("^GET /echo HTTP/1%.1\r\n", passed("GET HTTP/1.2"))
        local path = upstream:reply("HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhi"):match("^http://[^/]+(.*)$")
        assert.matches("^HTTP/1.1 200 ", site:raw(("GET %s HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"):format(
            to(upstream.port, path))))
    end)

    it("says in Via in which version the request came", function()
        assert.equal("1.0 moonloop", relay.fields_of(passed("GET HTTP/1.0")).via)
        assert.equal("1.0 a, 1.1 moonloop", relay.fields_of(passed("GET HTTP/1.1", "Via: 1.0 a\r\n")).via)
    end)

    it("keeps the order of fields of one name, and fields that nobody knows", function()
        local text = passed("GET HTTP/1.1", "X-A: 1\r\nX-B: 0\r\nx-a: 2\r\nX-A: 3\r\n")
        assert.equal("1|2|3", relay.fields_of(text)["x-a"])
        assert.equal("0", relay.fields_of(text)["x-b"])
    end)

    it("passes conditions, ranges and credentials on as they are", function()
        local fields = { ["if-match"] = '"a"', ["if-none-match"] = '"b"', ["if-range"] = '"c"', range = "bytes=0-1",
            ["if-modified-since"] = "Sat, 29 Oct 1994 19:43:31 GMT", authorization = 'Digest a="b, c"',
            referer = "http://a/b?c" }
        local lines = {}
        for name, value in pairs(fields) do
            lines[#lines + 1] = name .. ": " .. value .. "\r\n"
        end
        local seen = relay.fields_of(passed("GET HTTP/1.1", table.concat(lines)))
        for name, value in pairs(fields) do
            assert.equal(value, seen[name])
        end
    end)

    it("is not asked for ever by a request that comes back to it", function()
        local target, port = "/to/" .. site.port, site.port
        local response = site:get(target:rep(30) .. "/to/" .. port .. "/none")
        assert.equal(508, response.status)
        assert.equal("loop detected: this request comes back again and again\n", response.body)
        assert.equal(404, site:get(target:rep(5) .. "/none").status)
    end)

    it("counts Max-Forwards of OPTIONS down, and answers at zero", function()
        assert.equal("4", relay.fields_of(passed("OPTIONS HTTP/1.1", "Max-Forwards: 5\r\n"))["max-forwards"])
        assert.equal("2147483646",
            relay.fields_of(passed("OPTIONS HTTP/1.1", "Max-Forwards: 99999999999999999999\r\n"))["max-forwards"])
        local response = site:request("OPTIONS", to(1, "/echo"), { headers = { ["Max-Forwards"] = "0" } })
        assert.equal(200, response.status)
        assert.equal("", response.body)
        assert.is_nil(relay.fields_of(passed("OPTIONS HTTP/1.1"))["max-forwards"])
        assert.equal("0", relay.fields_of(passed("GET HTTP/1.1", "Max-Forwards: 0\r\n"))["max-forwards"])
    end)

    it("has no answer with a malformed length, or with several, taken for good", function()
        for _, length in ipairs({ "x", "+2", "2, 3", "-2", "0x2", "2\r\nContent-Length: 3" }) do
            local response = answered("HTTP/1.1 200 OK\r\nContent-Length: " .. length .. "\r\n\r\nhi", "close")
            assert.equal(502, response.status, length)
        end
    end)

    it("drops a length beside Transfer-Encoding, or the answer", function()
        local response = answered("HTTP/1.1 200 OK\r\nContent-Length: 9\r\nTransfer-Encoding: chunked\r\n\r\n"
            .. "2\r\nhi\r\n0\r\n\r\n")
        assert.is_true(response.status == 502 or response.body == "hi" and response.headers["content-length"] ~= "9")
    end)

    it("passes no blank before a colon on, and no folded field", function()
        local response = answered("HTTP/1.1 200 OK\r\nX-A : b\r\nContent-Length: 2\r\n\r\nhi")
        assert.is_true(response.status == 502 or response.headers["x-a"] == "b")
        response = answered("HTTP/1.1 200 OK\r\nX-A: b\r\n c\r\nContent-Length: 2\r\n\r\nhi")
        assert.is_true(response.status == 502 or response.headers["x-a"]:match("^b +c$") ~= nil)
    end)

    it("reads an answer to its end when neither length nor chunks say where that is", function()
        assert.equal("hello", answered("HTTP/1.1 200 OK\r\n\r\nhello", "close").body)
    end)

    it("gives a Date to an answer that has none", function()
        assert.matches("^%a%a%a, %d%d %a%a%a %d%d%d%d",
            answered("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").headers.date)
    end)

    it("leaves what the server behind says of itself", function()
        local response = answered("HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"a, b\"\r\n"
            .. "Allow: GET, BREW\r\nVary: *\r\nETag: W/\"x\"\r\nContent-Length: 0\r\n\r\n")
        assert.equal(401, response.status)
        assert.equal('Basic realm="a, b"', response.headers["www-authenticate"])
        assert.equal("GET, BREW", response.headers.allow)
        assert.equal("*", response.headers.vary)
        assert.equal('W/"x"', response.headers.etag)
    end)

    it("passes parts on as they are, in a unit that it does not know as well", function()
        local response = answered("HTTP/1.1 206 Partial Content\r\nContent-Range: apples 1-2/9\r\n"
            .. "Content-Length: 2\r\n\r\nhi")
        assert.equal(206, response.status)
        assert.equal("apples 1-2/9", response.headers["content-range"])
        assert.equal("hi", response.body)
    end)

    it("takes a status that is none for a bad answer", function()
        for _, status in ipairs({ "99", "600", "1000", "2x0" }) do
            assert.equal(502, answered("HTTP/1.1 " .. status .. " X\r\nContent-Length: 0\r\n\r\n", "close").status,
                status)
        end
        assert.equal(299, answered("HTTP/1.1 299 X\r\nContent-Length: 0\r\n\r\n").status)
    end)

    it("does not ask a server again that has said close, on the same connection", function()
        local url, port = upstream:script({ "read",
            { "send", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi" }, "wait" })
        assert.is_string(url)
        assert.equal(200, site:get(to(port, "/")).status)
        assert.matches("^end", upstream:log(port, 3)[3])
    end)
end)
