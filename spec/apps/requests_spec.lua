--- `req`: every part of a request as a handler sees it.

local json = require("cjson")
local server = require("spec.support.server")

local APP = [[
local moonloop = require("moonloop")
local app = moonloop.app()
local kept
app:use(function(req, res, next) req.context.seen = "yes" return next() end)
app:any("/parts/{id:int}/{ratio:number}/{name}", function(req)
    return {
        method = req.method, path = req.path, target = req.target, host = req.host, scheme = req.scheme,
        id = req.params.id, ratio = req.params.ratio, name = req.params.name, kind = type(req.params.id),
        app = req.app, route = req.route, context = req.context.seen, remote = req.remote_addr,
        cancelled = req.cancelled, has_deadline = type(req.deadline), unknown = tostring(req.nothing),
        request_id = req.id,
    }
end)
app:get("/again/{n:int}", function(req)
    return { n = req.params.n, x = req.query.x, lower = req.headers["x-round"], mixed = req.headers["X-rOUND"],
        only = req.headers["X-Only"] }
end)
app:get("/int/{id:int}", function(req) return ("%s %s"):format(type(req.params.id), tostring(req.params.id)) end)
app:get("/rest/{path...}", function(req) return "[" .. req.params.path .. "]" end)
app:get("/query", function(req)
    return { a = req.query.a, all = req:query_all("a"), none = req:query_all("none"), b = req.query.b }
end)
app:get("/headers", function(req)
    return { req.headers["x-one"], req.headers["X-ONE"], req.headers.x_none or "none", req.headers["x-two"] }
end)
app:get("/cookies", function(req) return { req.cookies.a, req.cookies.b, req.cookies.c or "none" } end)
app:post("/json", function(req) return req:json() end)
app:post("/form", function(req) return req:form() end)
app:get("/keep", function(req) kept = req return "kept" end)
app:get("/kept", function()
    local ok, err = pcall(function() return kept.method end)
    local fine, other = pcall(kept.body, kept)
    return tostring(ok) .. " " .. err.message .. " " .. tostring(fine) .. " " .. tostring(kept.cancelled)
end)
app:get("/who", function(req) return req.remote_addr .. " " .. req.scheme end)
return app
]]

describe("req", function()
    local site
    lazy_setup(function()
        site = server.start({ apps = { ["demo.lua"] = APP }, options = {
            "--workers", "1", "--forwarded-allow-ips", "127.0.0.1,10.0.0.1",
        } })
    end)
    lazy_teardown(server.clean)

    local function get(target, headers)
        return site:get("/demo" .. target, { headers = headers })
    end

    it("has the parts of this request, not of one before on the same route", function()
        for round = 1, 3 do
            local target = ("/again/%d?x=%d&x=9"):format(round, round * 10)
            local headers = { ["X-Round"] = "r" .. round, ["X-Only"] = round == 2 and "here" or nil }
            assert.same({
                n = round, x = tostring(round * 10), lower = "r" .. round, mixed = "r" .. round,
                only = round == 2 and "here" or nil,
            }, json.decode(get(target, headers).body))
        end
    end)

    it("has the parts of the request", function()
        local response = get("/parts/7/1.5/a%20b?x=1")
        local parts = json.decode(response.body)
        assert.equal(response.headers["x-request-id"], parts.request_id)
        parts.request_id = nil
        assert.same({
            method = "GET", path = "/demo/parts/7/1.5/a b", target = "/demo/parts/7/1.5/a%20b?x=1",
            host = "localhost", scheme = "http", id = 7, ratio = 1.5, name = "a b", kind = "number",
            app = "demo", route = "/demo/parts/{id:int}/{ratio:number}/{name}", context = "yes",
            remote = "127.0.0.1", cancelled = false, has_deadline = "nil", unknown = "nil",
        }, parts)
    end)

    it("has integers beyond 2^53 as the nearest number", function()
        assert.equal("number 9", get("/int/9").body)
        assert.equal("number -3", get("/int/-3").body)
        assert.equal("number 9.007199254741e+15", get("/int/9007199254740993").body)
        assert.equal(404, get("/int/9223372036854775808").status)
        assert.equal(404, get("/int/1.5").status)
    end)

    it("has the rest of a path", function()
        assert.equal("[a/b/c]", get("/rest/a/b/c").body)
        assert.equal("[]", get("/rest/").body)
    end)

    it("has the query, decoded", function()
        local query = json.decode(get("/query?a=1&a=2&b=x+y%26z&a=").body)
        assert.same({ a = "1", all = { "1", "2", "" }, none = {}, b = "x y&z" }, query)
        assert.equal("{", get("/query?%zz=%").body:sub(1, 1))
    end)

    it("has headers in any case, several joined", function()
        local connection = site:connect()
        connection:send("GET /demo/headers HTTP/1.1\r\nHost: a\r\nX-One: 1\r\nX-Two: a\r\nx-two: b\r\n\r\n")
        assert.equal('["1","1","none","a, b"]', connection:read_response().body)
        connection:close()
    end)

    it("has cookies", function()
        assert.equal('["1","x y","none"]', get("/cookies", { Cookie = "a=1; b=x%20y" }).body)
    end)

    it("decodes JSON, and answers 400 with the place of what is wrong", function()
        local function post(body)
            return site:request("POST", "/demo/json", { body = body })
        end
        assert.equal('{"a":[]}', post('{"a":[]}').body)
        local response = post('{"a":')
        assert.equal(400, response.status)
        assert.truthy(response.body:find("%d"))
        assert.equal(400, post("").status)
    end)

    it("decodes forms, and answers 415 for another type", function()
        local function post(kind)
            return site:request("POST", "/demo/form", { body = "a=1&b=x+y&a=2", headers = { ["Content-Type"] = kind } })
        end
        assert.same({ a = "1", b = "x y" }, json.decode(post("application/x-www-form-urlencoded; charset=utf-8").body))
        assert.equal(415, post("text/plain").status)
    end)

    it("says that the request is finished when it is used later", function()
        get("/keep")
        assert.equal("false the request is finished: its req and res cannot be used any more false true",
            get("/kept").body)
    end)

    it("believes X-Forwarded-* of listed peers", function()
        assert.equal("1.2.3.4 https", get("/who", { ["X-Forwarded-For"] = "9.9.9.9, 1.2.3.4, 10.0.0.1",
            ["X-Forwarded-Proto"] = "https" }).body)
        assert.equal("::5 http", get("/who", { ["X-Forwarded-For"] = "::5" }).body)
        assert.equal("127.0.0.1 http", get("/who", { ["X-Forwarded-For"] = "nonsense" }).body)
        assert.equal("10.0.0.1 http", get("/who", { ["X-Forwarded-For"] = "x, 10.0.0.1" }).body)
        assert.equal("127.0.0.1 http", get("/who", { ["X-Forwarded-For"] = "" }).body)
    end)

    it("believes nobody else", function()
        local other = server.start({ apps = { ["demo.lua"] = APP }, options = {
            "--workers", "1", "--forwarded-allow-ips", "10.0.0.1" } })
        assert.equal("127.0.0.1 http", other:get("/demo/who", { headers = {
            ["X-Forwarded-For"] = "1.2.3.4", ["X-Forwarded-Proto"] = "https" } }).body)
        other:stop()
    end)
end)
