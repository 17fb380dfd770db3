--- Where redirects lead, what goes along and what stays behind; and who a request says it comes from.

local http = require("moonloop.http")
local moonloop = require("moonloop")
local origin = require("spec.support.origin")

local server, other

setup(function()
    server, other = origin.start(), origin.start()
end)

teardown(function()
    other:stop()
    server:stop()
end)

local function redirect(status, location, more)
    return server:reply(("HTTP/1.1 %d R\r\nLocation: %s\r\n%sContent-Length: 0\r\n\r\n"):format(status, location,
        more or ""))
end

local function failure(...)
    local ok, err = pcall(...)
    assert.is_false(ok)
    return err.code, err.message
end

describe("a redirect", function()
    it("keeps or changes the method, and the body with it", function()
        for _, case in ipairs({
            { 301, "GET", "GET" }, { 301, "HEAD", "HEAD" }, { 301, "POST", "GET" }, { 301, "PUT", "PUT" },
            { 301, "DELETE", "DELETE" }, { 302, "POST", "GET" }, { 302, "PATCH", "PATCH" }, { 303, "GET", "GET" },
            { 303, "HEAD", "HEAD" }, { 303, "POST", "GET" }, { 303, "PUT", "GET" }, { 303, "DELETE", "GET" },
            { 307, "POST", "POST" }, { 307, "PUT", "PUT" }, { 307, "GET", "GET" }, { 308, "POST", "POST" },
            { 308, "HEAD", "HEAD" },
        }) do
            local url, port = server:script({ "raw", { "send", ("HTTP/1.1 %d R\r\nLocation: /to\r\n"
                .. "Content-Length: 0\r\n\r\n"):format(case[1]) }, "raw",
                { "send", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n" }, "wait" })
            http.request({ method = case[2], url = url .. "/from", body = case[2] ~= "HEAD" and "b" or nil,
                headers = { ["Content-Type"] = "x/y", ["Content-Language"] = "de", ["X-A"] = "1" } }):body()
            local _, second = server:raw(port, 2)
            local is_kept = case[2] == case[3] and (case[1] ~= 303 or case[2] == "HEAD")
            assert.matches("^" .. case[3] .. " /to HTTP/1.1\r\n", second)
            assert.matches("X%-A: 1", second)
            assert.equal(is_kept, second:find("Content-Type", 1, true) ~= nil)
            assert.equal(is_kept, second:find("Content-Language", 1, true) ~= nil)
            assert.equal(is_kept and case[2] ~= "HEAD", second:sub(-1) == "b")
        end
    end)

    it("may be relative in every way", function()
        for location, expected in pairs({
            ["/b"] = "/b", ["b"] = "/dir/b", ["../b"] = "/b", ["?b"] = "/dir/a?b", ["./b?c=d"] = "/dir/b?c=d",
            ["//127.0.0.1:%d/b"] = "/b", ["http://127.0.0.1:%d/b?"] = "/b?", ["#part"] = "/dir/a",
        }) do
            local url, port
            if location:find("%d", 1, true) then
                local to = other.url:match(":(%d+)$")
                url = server:script({ "raw", { "send", ("HTTP/1.1 302 R\r\nLocation: %s\r\nContent-Length: 0\r\n\r\n")
                    :format(location:format(to)) }, "wait" })
                assert.equal(other.url .. expected, http.get(url .. "/dir/a").url)
            else
                url, port = server:script({ "raw", { "send", ("HTTP/1.1 302 R\r\nLocation: %s\r\n"
                    .. "Content-Length: 0\r\n\r\n"):format(location) }, "raw",
                    { "send", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n" }, "wait" })
                http.get(url .. "/dir/a")
                local _, second = server:raw(port, 2)
                assert.equal(expected, second:match("^GET (%S+) "))
            end
        end
    end)

    it("inherits the fragment unless it has its own", function()
        assert.equal(server.url .. "/echo#here", http.get(redirect(302, "/echo") .. "#here").url)
        assert.equal(server.url .. "/echo#there", http.get(redirect(302, "/echo#there") .. "#here").url)
    end)

    it("is listed in the answer's history", function()
        local last = redirect(302, "/echo")
        local first = redirect(307, (last:gsub("^http://[^/]+", "")))
        local res = http.get(first)
        assert.same({ { status = 307, url = first }, { status = 302, url = last } }, res.history)
        assert.is_nil(http.get(server.url .. "/echo").history)
    end)

    it("ends at the limit, and is an answer like any other where none is followed", function()
        assert.equal("protocol", (failure(http.get, redirect(302, ""), { redirects = 3 })))
        local code, message = failure(http.get, redirect(302, ""), { redirects = 1 })
        assert.equal("protocol", code)
        assert.matches("more than 1 redirects, while following redirects", message)
        assert.equal(200, http.get(redirect(302, "/echo"), { redirects = 1 }).status)
        for _, redirects in ipairs({ 0, false }) do
            local res = http.get(redirect(302, "/echo"), { redirects = redirects })
            assert.equal(302, res.status)
            assert.equal("/echo", res.headers.location)
        end
        local client = http.client({ redirects = false })
        assert.equal(302, client:get(redirect(302, "/echo")).status)
        assert.equal(200, client:get(redirect(302, "/echo"), { redirects = 1 }).status)
    end)

    it("is one with a Location and the right status alone", function()
        for _, status in ipairs({ 300, 304, 305, 306, 201, 400 }) do
            assert.equal(status, http.get(redirect(status, "/echo")).status)
        end
        assert.equal(302, http.get(server:reply("HTTP/1.1 302 R\r\nContent-Length: 0\r\n\r\n")).status)
    end)

    it("to nowhere fails with what it said", function()
        for _, location in ipairs({ "http://", "http://a b/", "ftp://127.0.0.1/", "file:///etc/passwd", "javascript:1",
            "http://127.0.0.1:99999/", "http+unix://%2Ftmp%2Fx/", "http://[::1/", "/a\\b" }) do
            local code, message = failure(http.get, redirect(302, location))
            assert.equal("protocol", code, location)
            assert.matches(": redirected to \".*\": %a.*, while following redirects$", message)
        end
        local code = failure(http.get, server:reply("HTTP/1.1 302 R\r\nLocation: /a\r\nLocation: http://b/\r\n"
            .. "Content-Length: 0\r\n\r\n"))
        assert.equal("protocol", code) -- two of them: neither is believed
    end)

    it("takes no user and password from where it leads", function()
        local text = http.get(redirect(302, ("http://u:p@127.0.0.1:%d/echo"):format(server.port)))
        assert.equal(server.url .. "/echo", text.url)
        assert.is_nil(text:body():find("Authorization", 1, true))
    end)

    it("gives a body from a source again where it has to, and fails where it cannot", function()
        local function to(status)
            return { "send", ("HTTP/1.1 %d R\r\nLocation: /to\r\nContent-Length: 0\r\n\r\n"):format(status) }
        end
        local good = { "send", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n" }
        local url, port = server:script({ "raw", to(307), "raw", good, "wait" })
        local source = http.rewindable(function() return origin.once("body") end, 4)
        assert.equal(200, http.post(url, { body = source }).status)
        local first, second = server:raw(port, 2)
        assert.equal("body", first:sub(-4))
        assert.matches("^POST /to .*\r\n\r\nbody$", second)

        url = server:script({ "raw", to(307), "wait" })
        local code, message = failure(http.post, url, { body = origin.once("body"), length = 4 })
        assert.equal("body", code)
        assert.matches("redirected with 307 to http://127.0.0.1:%d+/to, and the body, which comes from an iterator "
            .. "that has begun, cannot be sent again %(http.rewindable gives one that can%), "
            .. "while following redirects$", message)

        url, port = server:script({ "raw", to(303), "raw", good, "wait" })
        assert.equal(200, http.post(url, { body = origin.once("body") }).status)
        first, second = server:raw(port, 2)
        assert.matches("chunked", first)
        assert.matches("^GET /to ", second)
        assert.is_nil(second:lower():find("transfer-encoding", 1, true))

        -- What had to be asked for and was not has not begun.
        url, port = server:script({ "head", to(307), "wait" },
            { "head", { "send", "HTTP/1.1 100 Continue\r\n\r\n" }, { "more", 4 }, good, "wait" })
        assert.equal(200, http.post(url, { body = origin.once("body"), length = 4, expect = 600 }).status)
        assert.equal("body", (server:raw(port, 1)))
    end)
end)

describe("credentials", function()
    it("are basic or a bearer's", function()
        local function authorization(options)
            return http.get(server.url .. "/echo", options):body():match("\r\nAuthorization: ([^\r]*)")
        end
        assert.equal("Basic dXNlcjpwYXNz", authorization({ auth = { "user", "pass" } }))
        assert.equal("Basic dXNlcjo=", authorization({ auth = { "user", "" } }))
        assert.equal("Basic w7w6w6Q=", authorization({ auth = { "ü", "ä" } }))
        assert.equal("Bearer abc.d-e_f~g+h/i==", authorization({ bearer = "abc.d-e_f~g+h/i==" }))
        assert.equal("own", authorization({ bearer = "abc", headers = { Authorization = "own" } }))
    end)

    it("in a URL count where none are given", function()
        local function authorization(options)
            return http.get(("http://a%%40b:c%%3Ad@127.0.0.1:%d/echo"):format(server.port), options):body()
                :match("\r\nAuthorization: ([^\r]*)")
        end
        assert.equal("Basic YUBiOmM6ZA==", authorization())
        assert.equal("Bearer x", authorization({ bearer = "x" }))
    end)

    it("that could smuggle something, or are none, are refused", function()
        local function misuse(pattern, options)
            local ok, err = pcall(http.get, server.url .. "/echo", options)
            assert.is_false(ok)
            assert.matches("client_redirect_spec.lua:%d+: http: " .. pattern, err)
        end
        misuse("option auth: expected { user, password }, and no colon in the user", { auth = { "a:b", "c" } })
        misuse("option auth: expected { user, password }", { auth = { "a" } })
        misuse("option auth: user and password may hold no control characters", { auth = { "a\r\nX", "b" } })
        misuse("option bearer: expected a token", { bearer = "a b" })
        misuse("option bearer: expected a token", { bearer = "a\r\nX: 1" })
        misuse("option bearer: expected a token", { bearer = "" })
        misuse("auth and bearer exclude each other", { auth = { "a", "b" }, bearer = "c" })
        misuse("option redirects: expected how many", { redirects = -1 })
        misuse("option redirects: expected how many", { redirects = 1.5 })
        misuse("option redirects: expected how many", { redirects = true })
    end)

    it("stay at their origin, whatever they are", function()
        for _, options in ipairs({
            { headers = { Authorization = "secret", Cookie = "secret=1", ["Proxy-Authorization"] = "secret" } },
            { auth = { "secret", "secret" } }, { bearer = "secret" },
        }) do
            options.headers = options.headers or {}
            options.headers["X-Kept"] = "1"
            local here = http.get(redirect(302, "/echo"), options):body()
            assert.matches("Authorization: ", here)
            local away = http.get(redirect(307, other.url .. "/echo"), options):body()
            assert.is_nil(away:find("Authorization", 1, true))
            assert.is_nil(away:find("Cookie", 1, true))
            assert.matches("X%-Kept: 1", away)
            -- Another name of the same machine is another origin.
            away = http.get(redirect(302, ("http://localhost:%d/echo"):format(server.port)), options):body()
            assert.is_nil(away:find("Authorization", 1, true))
        end
    end)

    it("that were left behind do not come back", function()
        local back = other:reply(("HTTP/1.1 302 R\r\nLocation: %s/echo\r\nContent-Length: 0\r\n\r\n")
            :format(server.url))
        local res = http.get(redirect(302, back), { bearer = "secret" })
        assert.equal(server.url .. "/echo", res.url)
        assert.is_nil(res:body():find("Authorization", 1, true))
    end)

    it("of a client go with its requests, and stay at its base URL", function()
        local client = http.client({ base_url = server.url, bearer = "mine" })
        assert.matches("\r\nAuthorization: Bearer mine\r\n", client:get("/echo"):body())
        assert.matches("\r\nAuthorization: Basic ", client:get("/echo", { auth = { "a", "b" } }):body())
        assert.is_nil(client:get(other.url .. "/echo"):body():find("Authorization", 1, true))
        assert.is_nil(client:get(redirect(302, other.url .. "/echo")):body():find("Authorization", 1, true))
        local anywhere = http.client({ auth = { "a", "b" }, headers = { Authorization = "own" } })
        assert.matches("\r\nAuthorization: own\r\n", anywhere:get(other.url .. "/echo"):body())
        anywhere = http.client({ auth = { "a", "b" } })
        assert.matches("\r\nAuthorization: Basic YTpi\r\n", anywhere:get(other.url .. "/echo"):body())
        assert.is_false((pcall(http.client, { auth = { "a", "b" }, bearer = "c" })))
    end)
end)

it("a redirect counts against the one deadline", function()
    local url = server:script({ "raw", { "send", ("HTTP/1.1 302 R\r\nLocation: %s/hang\r\nContent-Length: 0\r\n\r\n")
        :format(other.url) }, "wait" })
    local began = moonloop.now()
    assert.equal("timeout", (failure(http.get, url, { timeout = 0.1 })))
    assert.is_true(moonloop.now() - began < 5)
end)
