--- Requests that are sent again by a policy.

local failure = require("spec.support.tasks").failure
local http = require("moonloop.http")
local moonloop = require("moonloop")
local origin = require("spec.support.origin")

local server

setup(function()
    server = origin.start()
end)

teardown(function()
    server:stop()
end)

local OK = { "send", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok" }

---Without a body it is whole with its head: then it never costs the connection to give it up.
---@param status integer
---@param fields? string
---@param body? string
local function answer(status, fields, body)
    body = body or ""
    return { "send", ("HTTP/1.1 %d X\r\n%sContent-Length: %d\r\n\r\n%s"):format(status, fields or "", #body, body) }
end

---A policy that does not take long.
local function soon(options)
    options = options or {}
    options.delay = options.delay or 0.001
    return options
end

describe("retries", function()
    -- #stress_cannot: of an answer that is given up nothing is read that has not come with its head; the rest costs
    -- the connection, and the next one begins the script again.
    it("send a request again until its answer is a good one #stress_cannot", function()
        local url = server:script({ "read", answer(503, nil, "no"), "read", answer(502, nil, "no"), "read", OK,
            "wait" })
        local client = http.client()
        local res = client:get(url, { retries = soon() })
        assert.equal(200, res.status)
        assert.equal("ok", res:body())
        assert.equal(3, res.tries)
        assert.equal(1, client:stats().connections) -- what was given up had been read
    end)

    it("end at their number, with the last answer", function()
        local url, port = server:script({ "read", answer(503), "read", answer(503), "read", answer(429, nil, "no"),
            "read", OK, "wait" })
        local res = http.get(url, { retries = soon({ attempts = 3 }) })
        assert.equal(429, res.status)
        assert.equal("no", res:body())
        assert.equal(3, res.tries)
        assert.equal(4, #server:log(port, 4))
    end)

    it("may be a number, and are none unless they are asked for", function()
        local url = server:script({ "read", answer(503), "read", OK, "wait" })
        assert.equal(503, http.get(url).status)
        url = server:script({ "read", answer(503, "Retry-After: 0\r\n"), "read", OK, "wait" })
        assert.equal(200, http.get(url, { retries = 1 }).status)
        url = server:script({ "read", answer(503), "read", OK, "wait" })
        assert.equal(503, http.get(url, { retries = 0 }).status)
        local client = http.client({ retries = soon() })
        url = server:script({ "read", answer(503), "read", OK, "wait" })
        assert.equal(200, client:get(url).status)
        url = server:script({ "read", answer(503), "read", OK, "wait" })
        assert.equal(503, client:get(url, { retries = false }).status)
    end)

    it("send again what failed without an answer", function()
        local url = server:script({ "read", "close" }, { "read", "reset" }, { "read", OK, "wait" })
        local res = http.get(url, { retries = soon() })
        assert.equal("ok", res:body())
        assert.equal(3, res.tries)
        local err = failure(http.get, "http://127.0.0.1:1/", { retries = soon({ attempts = 4 }) })
        assert.equal("refused", err.code)
        assert.equal(4, err.tries)
        assert.equal(3, #err.attempts)
    end)

    it("do not touch what may not be sent twice, unless they are told to", function()
        local function script()
            return server:script({ "read", answer(503), "read", OK, "wait" })
        end
        assert.equal(503, http.post((script()), { body = "a", retries = soon() }).status)
        assert.equal(503, http.patch((script()), { body = "a", retries = soon() }).status)
        assert.equal(200, http.put((script()), { body = "a", retries = soon() }).status)
        assert.equal(200, http.delete((script()), { retries = soon() }).status)
        assert.equal(200, http.post((script()), { body = "a", retries = soon({ methods = { "POST" } }) }).status)
        assert.equal(503, http.get((script()), { retries = soon({ methods = { "POST" } }) }).status)
    end)

    it("leave all else as it is", function()
        local url = server:script({ "read", answer(500), "wait" })
        assert.equal(500, http.get(url, { retries = soon() }).status)
        local err = failure(http.get, server:reply("rubbish"), { retries = soon() })
        assert.equal("protocol", err.code)
        assert.is_nil(err.tries)
        url = server:script({ "read", answer(500), "read", OK, "wait" })
        assert.equal(200, http.get(url, { retries = soon({ on = { 500 } }) }).status)
        url = server:script({ "read", { "send", "rubbish" }, "close" }, { "read", OK, "wait" })
        assert.equal(200, http.get(url, { retries = soon({ on = { "protocol" } }) }).status)
        url = server:script({ "read", "close" }, { "read", OK, "wait" })
        assert.equal("closed", failure(http.get, url, { retries = soon({ on = { 503 } }) }).code)
    end)

    it("wait as long as Retry-After says, in seconds or as a date", function()
        local function waited(fields)
            local url = server:script({ "read", answer(503, fields), "read", OK, "wait" })
            local began = moonloop.now()
            assert.equal(200, http.get(url, { retries = soon() }).status)
            return moonloop.now() - began
        end
        assert.is_true(waited("Retry-After: 1\r\n") >= 1)
        assert.is_true(waited("Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
            .. "Retry-After: Sun, 06 Nov 1994 08:49:38 GMT\r\n") >= 1)
        for _, value in ipairs({ "Sun, 06 Nov 1994 08:49:37 GMT", "-1", "soon", "0" }) do
            assert.is_true(waited("Retry-After: " .. value .. "\r\n") < 0.9)
        end
    end)

    it("take an answer that asks for more patience than max_delay for the last", function()
        local url = server:script({ "read", answer(503, "Retry-After: 31\r\n"), "read", OK, "wait" })
        local res = http.get(url, { retries = soon() })
        assert.equal(503, res.status)
        assert.equal("31", res.headers["retry-after"])
        url = server:script({ "read", answer(429, "Retry-After: 1\r\n"), "read", OK, "wait" })
        assert.equal(429, http.get(url, { retries = soon({ max_delay = 0.5 }) }).status)
    end)

    it("never wait beyond the one deadline", function()
        local url = server:script({ "read", answer(503, "Retry-After: 20\r\n", "no"), "read", OK, "wait" })
        local began = moonloop.now()
        local res = http.get(url, { retries = soon(), timeout = 10 })
        assert.equal(503, res.status)
        assert.equal("no", res:body()) -- it was not given up
        local err = failure(http.get, "http://127.0.0.1:1/", { retries = { delay = 20 }, timeout = 5 })
        assert.equal("refused", err.code)
        url = server:script({ "read", answer(503), "read", "wait" })
        err = failure(http.get, url, { retries = soon(), timeout = 0.2 })
        assert.equal("timeout", err.code)
        assert.is_true(moonloop.now() - began < 4)
    end)

    it("end with the scope around them", function()
        local began = moonloop.now()
        local err = failure(moonloop.timeout, 0.05, http.get, "http://127.0.0.1:1/", { retries = { delay = 20 },
            timeout = false })
        assert.equal("timeout", err.code)
        assert.is_true(moonloop.now() - began < 5)
    end)

    it("give a body again that can be given again", function()
        local url, port = server:script({ "raw", answer(503), "raw", OK, "wait" })
        assert.equal(200, http.put(url, { body = http.rewindable(function() return origin.once("body") end, 4),
            retries = soon() }).status)
        local first, second = server:raw(port, 2)
        assert.equal("body", first:sub(-4))
        assert.equal("body", second:sub(-4))
        url = server:script({ "raw", answer(503, nil, "no"), "raw", OK, "wait" })
        local res = http.put(url, { body = origin.once("body"), length = 4, retries = soon() })
        assert.equal(503, res.status)
        assert.equal("no", res:body())
    end)

    it("work behind a redirect, and with cookies", function()
        local jar = http.cookies()
        local url, port = server:script({ "raw", answer(302, "Location: /to\r\n"), "raw",
            answer(503, "Set-Cookie: a=1\r\n"), "raw", OK, "wait" })
        assert.equal(200, http.get(url, { retries = soon(), cookies = jar }).status)
        local _, second, third = server:raw(port, 3)
        assert.matches("^GET /to ", second)
        assert.matches("^GET /to ", third)
        assert.is_nil(second:find("Cookie", 1, true))
        local _, count = third:gsub("\r\nCookie: a=1\r\n", "")
        assert.equal(1, count)
    end)

    it("are refused as a mistake when they make no sense", function()
        local function misuse(pattern, retries)
            local ok, err = pcall(http.get, server.url .. "/echo", { retries = retries })
            assert.is_false(ok)
            assert.matches("client_retry_spec.lua:%d+: http: " .. pattern, err)
        end
        misuse("option retries: expected how often", -1)
        misuse("option retries: expected how often", 1.5)
        misuse("option retries: expected how often", { attempts = 0 })
        misuse("option retries: expected a number, a table or false", true)
        misuse("retries: unknown option attemps; did you mean attempts", { attemps = 3 })
        misuse("retries.delay: expected seconds", { delay = -1 })
        misuse("retries.max_delay: expected seconds", { max_delay = 1 / 0 })
        misuse("retries.on: item 2: expected statuses from 300 to 599 and codes of errors, got 200",
            { on = { 503, 200 } })
        misuse("retries.on: item 1: expected statuses", { on = { "cancelled" } })
        misuse("retries.on: item 2: expected statuses", { on = { "timeout", "timout" } })
        misuse("retries.on: expected a list", { on = {} })
        misuse("retries.methods: item 1: expected methods in capitals, got get", { methods = { "get" } })
    end)
end)
