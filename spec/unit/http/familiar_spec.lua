--- What the client says of options that other clients have, and of what is no option, type or URL.

local http = require("moonloop.http")

local URL = "http://127.0.0.1:1/"

local function mistake(fn, ...)
    local ok, message = pcall(fn, ...)
    assert.is_false(ok)
    assert.equal("string", type(message))
    assert.matches("^spec/unit/http/familiar_spec%.lua:%d+: ", message)
    return (message:gsub("^.-:%d+: ", ""))
end

local function of_request(options)
    return mistake(function() http.get(URL, options) end)
end

local function of_client(options)
    return mistake(function() http.client(options) end)
end

describe("an option by the name that another client has", function()
    local NAMES = {
        params = "query", data = "form for fields, body for bytes", files = "multipart, with http.file(path)",
        content = "body", follow_redirects = "redirects, a number or false",
        allow_redirects = "redirects, a number or false", max_redirects = "redirects", maxRedirects = "redirects",
        connect_timeout = "timeout, one for everything", read_timeout = "timeout, one for everything",
        username = "auth = { user, password }", token = "bearer", max_retries = "retries",
        proxies = "proxy, one URL", ["User-Agent"] = 'headers = { ["User-Agent"] = ... }',
    }

    for name, here in pairs(NAMES) do
        it("is told what it is here: " .. name, function()
            assert.equal(("http: unknown option %s; here it is %s"):format(name, here), of_request({ [name] = "x" }))
        end)
    end

    it("is told that it belongs to a client", function()
        assert.equal("http: unknown option verify; a client has it: http.client({ verify = ... })",
            of_request({ verify = false }))
        assert.equal("http: unknown option cert; a client has it: http.client({ cert_file = ... })",
            of_request({ cert = "x" }))
        assert.equal("http.client: unknown option verify_ssl; here it is verify", of_client({ verify_ssl = false }))
    end)

    it("is told that it belongs to a request", function()
        assert.equal("http.client: unknown option max_body; a request has it, not a client: max_body",
            of_client({ max_body = 1 }))
        assert.equal("http.client: unknown option params; a request has it, not a client: query",
            of_client({ params = {} }))
    end)

    it("is told that it is not needed", function()
        assert.matches("unknown option stream: an answer is not read before", of_request({ stream = true }))
        assert.matches("unknown option http2: requests are HTTP/1.1", of_client({ http2 = true }))
    end)

    it("is answered with all names when nobody knows it", function()
        assert.matches("unknown option frobnicate; there are auth, bearer, ", of_request({ frobnicate = 1 }))
        assert.matches("unknown option 1; there are auth, ", of_request({ "x" }))
    end)
end)

describe("what a request is given", function()
    it("is told which types do", function()
        assert.equal("http: option query: a string does not do: expected a table", of_request({ query = "a=b" }))
        assert.equal("http: option timeout: a string does not do: expected a number or false",
            of_request({ timeout = "5" }))
    end)

    it("has a timeout that a clock can count", function()
        for _, seconds in ipairs({ math.huge, 1e300, 0, -1, 0 / 0 }) do
            assert.matches("option timeout: expected seconds, more than 0 and up to 1e8, or false for none",
                of_request({ timeout = seconds }))
            assert.matches("http.client: option timeout", of_client({ timeout = seconds }))
        end
    end)

    it("is asked for with a dot", function()
        assert.matches("call it with a dot: http.get%(url%)", mistake(function() http:get(URL) end))
    end)

    it("is a URL, of which a message repeats no password, no control character and not all of it", function()
        local function of_url(url) return mistake(function() http.get(url) end) end
        assert.equal("http: http://host/: a second @; write the first one as %40", of_url("http://u:p@x@host/"))
        assert.equal("http: http://host/\\x0d\\x0a: a control character", of_url("http://host/\r\n"))
        assert.is_true(#of_url("http://host/ " .. ("a"):rep(1e5)) < 300)
    end)
end)

describe("what a client is given", function()
    it("is looked at when it is made", function()
        for url, reason in pairs({
            [""] = "not an absolute URL", ["example.com"] = "not an absolute URL",
            ["ftp://a"] = "the scheme is none of",
            ["http://a/?b=1"] = "a query or a fragment cannot stand in front of a path",
        }) do
            assert.matches("http.client: option base_url: " .. url .. ": " .. reason, of_client({ base_url = url }), 1,
                true)
        end
        assert.matches("header 1: expected a name", of_client({ headers = { "a: b" } }))
        assert.matches("connections are 1 to 65535", of_client({ connections = 1.5 }))
        assert.matches("option queue_timeout: expected seconds", of_client({ queue_timeout = 0 / 0 }))
        assert.is_table(http.client({ base_url = "http://unix:/run/app.sock:" }))
        assert.is_table(http.client({ base_url = "http://unix:/run/app.sock:/api" }))
        assert.is_table(http.client({ base_url = "http+unix://%2Frun%2Fapp.sock/api/" }))
        assert.is_table(http.client({ base_url = "http://user:password@host:81/api/" }))
    end)
end)
