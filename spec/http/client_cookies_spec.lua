--- The cookie jar on requests: what it takes from answers, also from those that redirect, and what it adds.

local http = require("moonloop.http")
local origin = require("spec.support.origin")

local server

setup(function()
    server = origin.start()
end)

teardown(function()
    server:stop()
end)

local function answer(fields, status)
    return server:reply(("HTTP/1.1 %s\r\n%sContent-Length: 0\r\n\r\n"):format(status or "200 OK", fields))
end

local function said(url, options)
    return http.get(url, options):body():match("\r\nCookie: ([^\r]*)\r\n")
end

describe("a cookie jar", function()
    it("takes what answers set and adds it to requests, in one field", function()
        local jar = http.cookies()
        http.get(answer("Set-Cookie: a=1; Path=/\r\nset-cookie: b=2; Path=/; Expires=Sun, 06 Nov 2094 08:49:37 GMT\r\n"
            .. "Set-Cookie: gone=1; Max-Age=0\r\nSet-Cookie: evil=1; Domain=evil.example\r\n"), { cookies = jar })
        assert.equal("a=1; b=2", said(server.url .. "/echo", { cookies = jar }))
        assert.is_nil(said(server.url .. "/echo"))
        assert.is_nil(said(server.url:gsub("127.0.0.1", "localhost") .. "/echo", { cookies = jar }))
    end)

    it("takes them from errors and from HEAD as well", function()
        local jar = http.cookies()
        http.get(answer("Set-Cookie: a=1\r\n", "500 No"), { cookies = jar })
        http.head(answer("Set-Cookie: b=1\r\n"), { cookies = jar })
        assert.equal("a=1; b=1", jar:header(server.url .. "/"))
    end)

    it("takes them from redirects, for the request that follows", function()
        local jar = http.cookies()
        local here = "Set-Cookie: a=1; Path=/\r\nLocation: /echo\r\n"
        assert.equal("a=1", said(answer(here, "302 Found"), { cookies = jar }))
        local other = origin.start()
        assert.equal("a=1", said(answer(("Location: %s/echo\r\n"):format(other.url), "302 Found"), { cookies = jar }))
        jar:set("http://localhost/", "b=2; Path=/")
        local away = ("Location: http://localhost:%d/echo\r\n"):format(other.port)
        assert.equal("b=2", said(answer(away, "302 Found"), { cookies = jar }))
        other:stop()
    end)

    it("is not held up by a field that is blanks for the most part", function()
        local jar, began = http.cookies(), os.clock()
        http.get(answer("Set-Cookie: a=x" .. (" "):rep(60000) .. "y\r\nSet-Cookie: b=1; " .. ("\t "):rep(100)
            .. "\r\n"), { cookies = jar })
        assert.is_true(os.clock() - began < 2) -- it was six seconds, and four times that for twice the field
        assert.equal("b=1", jar:header(server.url .. "/"))
    end)

    it("can be a client's, and be left out", function()
        local jar = http.cookies()
        jar:set(server.url .. "/", "a=1; Path=/")
        local client = http.client({ cookies = jar })
        local function of(options)
            return client:get(server.url .. "/echo", options):body():match("\r\nCookie: ([^\r]*)\r\n")
        end
        assert.equal("a=1", of())
        assert.is_nil(of({ cookies = false }))
        assert.equal("x=y", of({ headers = { Cookie = "x=y" } }))
        local other = http.cookies()
        other:set(server.url .. "/", "b=2; Path=/")
        assert.equal("b=2", of({ cookies = other }))
    end)

    it("is refused as a mistake when it is none", function()
        for _, jar in ipairs({ true, { a = "b" } }) do
            local ok, err = pcall(http.get, server.url .. "/echo", { cookies = jar })
            assert.is_false(ok)
            assert.matches("client_cookies_spec.lua:%d+: http: option cookies: expected a jar from http.cookies%(%)",
                err)
        end
        assert.is_false((pcall(http.client, { cookies = {} })))
    end)
end)
