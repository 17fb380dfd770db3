--- The HTTP client against an origin that does what it is told: spec/support/origin.py.

local http = require("moonloop.http")
local moonloop = require("moonloop")
local origin = require("spec.support.origin")

local server

local function code_of(fn, ...)
    local ok, err = pcall(fn, ...)
    assert.is_false(ok)
    return type(err) == "table" and err.code or tostring(err), tostring(err)
end

---A client of its own, so that what one example left in the pool is not there for the next.
local function fresh(options)
    return http.client(options)
end

local function connections()
    return tonumber(fresh():get(server.url .. "/connections"):body()) - 1
end

---Until it has no connection; what makes one unusable may come behind the answer.
local function wait_closed(client)
    moonloop.timeout(5, function()
        while client:stats().connections > 0 do
            moonloop.sleep(0.001)
        end
    end)
end

setup(function()
    server = origin.start()
end)

teardown(function()
    server:stop()
end)

describe("a request", function()
    it("has the method, the target and the fields that were asked for", function()
        local text = http.request({
            method = "PUT", url = server.url .. "/echo?a=1#top", body = "hello", query = { b = "x y", c = { 1, 2 } },
            headers = { ["X-One"] = "1", ["x-many"] = { "a", "b" } },
        }):body()
        assert.matches("^PUT /echo%?a=1&b=x%+y&c=1&c=2 HTTP/1.1\r\n", text)
        assert.matches("\r\nHost: 127.0.0.1:" .. server.port .. "\r\n", text)
        assert.matches("\r\nUser%-Agent: moonloop/[%d.]+", text)
        assert.matches("\r\nX%-One: 1\r\n", text)
        assert.matches("\r\nx%-many: a\r\nx%-many: b\r\n", text)
        assert.matches("\r\nContent%-Length: 5\r\n\r\nhello$", text)
    end)

    it("has an answer that says what is called otherwise elsewhere", function()
        local res = http.get(server.url .. "/echo")
        for name, here in pairs({ text = "body()", status_code = "status", iter_lines = "lines()" }) do
            local ok, message = pcall(function() return res[name] end)
            assert.is_false(ok)
            assert.matches("client_spec.lua:%d+: an answer has no " .. name .. "; here it is ", message)
            assert.matches(here, message, 1, true)
        end
        assert.is_nil(res.nothing)
    end)

    it("gives an answer that stays where it came, whole or not", function()
        for _ = 1, 3 do -- the second time it may come whole, in one step
            local ok, err = pcall(moonloop.offload, function(url)
                return require("moonloop.http").get(url)
            end, server.url .. "/echo")
            assert.is_false(ok)
            assert.matches("result 1: cannot send a moonloop.http.Response to another VM", err.message, 1, true)
        end
    end)

    it("carries JSON and forms with their types", function()
        assert.matches('application/json\r\n.*\r\n\r\n{"a":%[1,2%]}$',
            http.post(server.url .. "/echo", { json = { a = { 1, 2 } } }):body())
        assert.matches("x%-www%-form%-urlencoded\r\n.*\r\n\r\na=1%+2&b=%%C3%%A4$",
            http.post(server.url .. "/echo", { form = { a = "1 2", b = "ä" } }):body())
    end)

    it("authenticates from the options and from the URL, which is not shown", function()
        local text = http.get(server.url .. "/echo", { auth = { "Aladdin", "open sesame" } }):body()
        assert.matches("\r\nAuthorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n", text)
        local res = http.get((server.url:gsub("//", "//Aladdin:open%%20sesame@")) .. "/echo")
        assert.matches("\r\nAuthorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n", res:body())
        assert.equal(server.url .. "/echo", res.url)
    end)

    it("sends nothing that could smuggle a second one", function()
        for _, options in ipairs({
            { headers = { ["X-A"] = "1\r\nX-B: 2" } }, { headers = { ["X-A"] = "1\n2" } },
            { headers = { ["X-A"] = "1\0" } }, { headers = { ["X A"] = "1" } }, { headers = { ["X-A:"] = "1" } },
            { headers = { [""] = "1" } }, { headers = { ["Transfer-Encoding"] = "chunked" } },
            { headers = { ["Content-Length"] = "4" } }, { url = server.url .. "/a b" },
            { url = server.url .. "/a\r\nX: y" }, { url = "ftp://127.0.0.1/" }, { url = "/only" },
            { method = "GET / HTTP/1.1\r\nX:" }, { method = "CONNECT" }, { wrong = 1 }, { timeout = -1 },
            { json = 1, body = "x" }, { url = 7 },
        }) do
            options.url = options.url or server.url .. "/echo"
            local ok, err = pcall(http.request, options)
            assert.is_false(ok)
            assert.matches("client_spec.lua:%d+: http", tostring(err))
        end
    end)

    it("with a large body goes out as the server takes it", function()
        local body = ("0123456789abcdef"):rep(512 * 1024)
        local text = http.post(server.url .. "/echo", { body = body }):body()
        assert.equal(#body, #text - text:find("\r\n\r\n", 1, true) - 3)
        assert.is_true(text:sub(-#body) == body)
    end)
end)

describe("an answer", function()
    it("is read in every framing, whole or a byte at a time", function()
        local ok = "HTTP/1.1 200 OK\r\n"
        for wire, expected in pairs({
            [ok .. "Content-Length: 5\r\n\r\nhello"] = { "keep", "hello" },
            [ok .. "Transfer-Encoding: chunked\r\n\r\n3;a=b\r\nhel\r\n2\r\nlo\r\n0\r\nT: x\r\n\r\n"]
                = { "keep", "hello" },
            [ok .. "\r\nhello"] = { "close", "hello" },
            ["HTTP/1.0 200 OK\r\n\r\nhello"] = { "close", "hello" },
            ["HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n"] = { "keep", "" },
            ["HTTP/1.1 204 No Content\r\nX-A: 9\r\n\r\n"] = { "keep", "" },
            ["HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n"] = { "keep", "" },
            ["HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" .. ok
                .. "Content-Length: 2\r\n\r\nhi"] = { "keep", "hi" },
        }) do
            for _, size in ipairs({ 0, 1, 7 }) do
                local client = fresh()
                assert.equal(expected[2], client:get(server:reply(wire, expected[1], size)):body())
                assert.equal(expected[1] == "keep" and 1 or 0, client:stats().idle)
            end
        end
    end)

    it("to HEAD has no body, whatever its fields say", function()
        local client = fresh()
        local res = client:head(server:reply("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"))
        assert.equal("", res:body())
        assert.equal("5", res.headers["content-length"])
        assert.equal(1, client:stats().idle)
    end)

    it("gives its fields in any case", function()
        local res = http.get(server:reply("HTTP/1.1 201 Made\r\nX-A: 1\r\nx-a:  2 \r\nSet-Cookie: a=1\r\n"
            .. "Set-Cookie: b=2\r\nContent-Length: 0\r\n\r\n"))
        assert.equal("1, 2", res.headers["X-a"])
        assert.same({ "a=1", "b=2" }, res:header_all("Set-Cookie"))
        assert.is_nil(res.headers.missing)
        assert.equal(201, res.status)
        assert.is_true(res.ok)
        assert.is_true(res.timing.total >= res.timing.first_byte)
    end)

    it("that is wrong raises what is wrong, where, and its connection is not used again", function()
        local ok = "HTTP/1.1 200 OK\r\n"
        for _, case in ipairs({
            { "HTTP/1.1 2x0 OK\r\n\r\n", "protocol" }, { "nonsense\r\n\r\n", "protocol" },
            { "HTTP/2.0 200 OK\r\n\r\n", "protocol" }, { "HTTP/9.9 200 OK\r\n\r\n", "protocol" },
            { "<html>" .. ("x"):rep(100), "protocol" }, { "\0\1\2\3\r\n\r\n", "protocol" },
            { ok .. "Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd", "protocol" },
            { ok .. "Content-Length: -1\r\n\r\n", "protocol" }, { ok .. "Content-Length: 1x\r\n\r\na", "protocol" },
            { ok .. "Content-Length: 99999999999999999999\r\n\r\na", "protocol" },
            { ok .. "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "protocol" },
            { ok .. "Transfer-Encoding: chunked\r\n\r\nzz\r\n", "protocol" },
            { ok .. "Transfer-Encoding: chunked\r\n\r\n1\r\nab\r\n", "protocol" },
            { ok .. "Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n", "protocol" },
            { ok .. "X A: 1\r\n\r\n", "protocol" }, { ok .. ": 1\r\n\r\n", "protocol" },
            { ok .. "X: a\0b\r\n\r\n", "protocol" },
            { "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", "protocol" },
            { "", "closed" }, { "HTT", "closed" }, { ok, "closed" }, { ok .. "X: 1\r\n", "closed" },
            { ok .. "Content-Length: 9\r\n\r\nabc", "closed" },
            { ok .. "Transfer-Encoding: chunked\r\n\r\n5\r\nab", "closed" },
            { ok .. "Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n", "closed" },
            { ok .. "X: " .. ("a"):rep(70000) .. "\r\n\r\n", "too_large" },
            { ok .. ("X: a\r\n"):rep(300) .. "\r\n", "too_large" },
        }) do
            local client = fresh()
            local was_taken, err = pcall(function()
                return client:get(server:reply(case[1], "close")):body()
            end)
            assert.is_false(was_taken, case[1]:sub(1, 80))
            assert.equal(case[2], err.code, case[1]:sub(1, 80))
            local message = tostring(err)
            assert.matches("GET " .. server.url:gsub("%p", "%%%0") .. ".* while %a+ing", message)
            assert.equal(0, client:stats().connections)
        end
    end)

    it("that a reset cuts is closed", function()
        assert.equal("closed", (code_of(function()
            return fresh():get(server:reply("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc", "reset")):body()
        end)))
    end)

    it("beyond max_body is too large, known beforehand or not", function()
        local function get(url)
            return fresh():get(url, { max_body = 1000 }):body()
        end
        assert.equal("too_large", (code_of(get, server.url .. "/sized/1001")))
        assert.equal("too_large", (code_of(get, server.url .. "/sized/3000000")))
        assert.equal("too_large", (code_of(get, server:reply("HTTP/1.1 200 OK\r\n\r\n" .. ("x"):rep(1001), "close"))))
        assert.equal(1000, #get(server.url .. "/sized/1000"))
    end)

    it("streams with the server held back", function()
        local client, total = fresh(), 0
        local res = client:get(server.url .. "/sized/20000000")
        for chunk in res:chunks() do
            assert.is_true(#chunk <= 400 * 1024)
            total = total + #chunk
        end
        assert.equal(20000000, total)
        assert.equal(1, client:stats().idle)
    end)

    it("that nobody reads goes with its connection", function()
        local client = fresh()
        client:get(server.url .. "/sized/20000000"):close()
        assert.equal(0, client:stats().connections)
    end)
end)

describe("the pool", function()
    it("uses a connection again, and not one with surplus bytes or an end", function()
        local client = fresh()
        connections()
        for _ = 1, 5 do
            client:get(server.url .. "/echo"):body()
        end
        assert.equal(1, connections())
        for _, head in ipairs({ "Connection: close\r\nContent-Length: 2\r\n\r\nhi",
            "Content-Length: 2\r\n\r\nhiHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n" }) do
            client = fresh()
            assert.equal("hi", client:get(server:reply("HTTP/1.1 200 OK\r\n" .. head)):body())
            wait_closed(client)
        end
    end)

    it("notices at once that the server has closed an idle connection", function()
        local client = fresh()
        client:get(server:reply("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", "close"))
        wait_closed(client)
    end)

    it("sends an idempotent request again when the server had closed the connection", function()
        local client = fresh()
        client:get(server:reply("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", "drop")):body()
        assert.equal(200, client:get(server.url .. "/echo").status)
        client = fresh()
        client:get(server:reply("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", "drop")):body()
        assert.equal("closed", (code_of(client.post, client, server.url .. "/echo", { body = "x" })))
    end)

    it("opens no more than its limit, serves in order, and says when too many wait", function()
        local client = fresh({ connections = 1, queue = 4 })
        local order, fulls = {}, 0
        connections()
        moonloop.scope(function(scope)
            for i = 1, 6 do
                scope:spawn(function()
                    local ok, err = pcall(client.get, client, server.url .. "/echo")
                    if ok then
                        order[#order + 1] = i
                    else
                        assert.equal("full", err.code)
                        fulls = fulls + 1
                    end
                end)
            end
        end)
        assert.equal(1, fulls)
        assert.same({ 1, 2, 3, 4, 5 }, order)
        assert.equal(1, connections())
    end)

    it("gets its place back, and the socket is closed, when a task is cancelled", function()
        local client = fresh({ connections = 1 })
        local ok, err = pcall(moonloop.timeout, 0.05, function()
            client:get(server.url .. "/hang")
        end)
        assert.is_false(ok)
        assert.equal("timeout", err.code)
        assert.equal(0, client:stats().connections)
        assert.equal("gone", client:get(server.url .. "/gone"):body())
    end)

    it("forgets a request that was cancelled while it waited", function()
        local client = fresh({ connections = 1 })
        moonloop.scope(function(scope)
            local first = scope:spawn(pcall, client.get, client, server.url .. "/hang")
            local second = scope:spawn(pcall, client.get, client, server.url .. "/hang")
            moonloop.sleep(0)
            assert.equal(1, client:stats().waiting)
            second:cancel()
            second:wait()
            assert.equal(0, client:stats().waiting)
            first:cancel()
            first:wait()
        end)
        assert.equal(0, client:stats().connections)
    end)

    it("closes idle connections after a while", function()
        local client = fresh({ idle = 0.05 })
        client:get(server.url .. "/echo"):body()
        assert.equal(1, client:stats().idle)
        wait_closed(client)
    end)
end)

describe("a deadline", function()
    it("covers every stage, and the message names it", function()
        local function message(url)
            local code, text = code_of(function()
                return fresh():get(url, { timeout = 0.05 }):body()
            end)
            assert.equal("timeout", code)
            return text
        end
        assert.matches("while waiting for the answer", message(server.url .. "/hang"))
        assert.matches("while reading the body",
            message(server:reply("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc", "hang")))
        local client = fresh({ connections = 1 })
        moonloop.scope(function(scope)
            local first = scope:spawn(pcall, client.get, client, server.url .. "/hang", { timeout = 0.2 })
            moonloop.sleep(0)
            local ok, err = pcall(client.get, client, server.url .. "/echo", { timeout = 0.05 })
            assert.is_false(ok)
            assert.matches("while waiting for a connection", tostring(err))
            first:wait()
        end)
    end)
end)

describe("a deadline", function()
    it("counts from the call, however long the task had computed before", function()
        local began = os.clock()
        while os.clock() - began < 0.3 do end -- luacheck: ignore 542
        assert.equal(200, fresh():get(server.url .. "/echo", { timeout = 0.25 }).status)
    end)
end)

describe("failing to connect", function()
    it("is told apart", function()
        assert.equal("refused", (code_of(http.get, "http://127.0.0.1:1/")))
        local code, message = code_of(http.get, "http://no-such-host.invalid/")
        assert.equal("dns", code)
        assert.matches("GET http://no%-such%-host.invalid/: .* while resolving", message)
    end)

    it("falls back to the next address of a name", function()
        -- localhost is ::1 and 127.0.0.1 where both exist; the origin listens on the second only.
        assert.equal(200, http.get("http://localhost:" .. server.port .. "/echo").status)
    end)
end)

describe("a client", function()
    it("has a base URL, fields and a timeout for its requests", function()
        local client = fresh({ base_url = server.url .. "/", headers = { ["X-A"] = "1", ["X-B"] = "2" } })
        local text = client:get("/echo", { headers = { ["x-a"] = "3" } }):body()
        assert.matches("\r\nx%-a: 3\r\n", text)
        assert.matches("\r\nX%-B: 2\r\n", text)
        assert.is_nil(text:find("X-A: 1", 1, true))
    end)

    it("can be forgotten while answers of it are open", function()
        local res = fresh():get(server.url .. "/sized/5000000")
        collectgarbage()
        collectgarbage()
        assert.equal(5000000, #res:body())
    end)

    it("decodes JSON", function()
        local wire = 'HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{"a":[1]}'
        assert.same({ a = { 1 } }, http.get(server:reply(wire)):json())
        assert.equal("json", (code_of(function()
            return http.get(server:reply("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n{")):json()
        end)))
    end)
end)
