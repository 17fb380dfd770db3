--- What a handler returns and what it sets on `res`.

local server = require("spec.support.server")

local APP = [[
local moonloop = require("moonloop")
local app = moonloop.app()
app:get("/text", function() return "text" end)
app:get("/json", function() return { a = 1 } end)
app:get("/empty", function() return {} end)
app:get("/array", function() return moonloop.json.array({}) end)
app:get("/nothing", function() end)
app:get("/created", function() return "made", 201, { ["X-A"] = "b", ["Content-Type"] = "text/csv" } end)
app:get("/list", function() return "", 200, { ["X-A"] = { "1", "2" } } end)
app:get("/res", function(req, res) res.status = 202 res.headers["X-B"] = "c" return "res" end)
app:get("/both", function(req, res) res.status = 202 return "both", 203 end)
app:get("/html", function(req, res) return res:html("<p>") end)
app:get("/bare-html", function(req, res) res:html("<p>") end)
app:get("/res-json", function(req, res) return res:json("text") end)
app:get("/res-text", function(req, res) return res:text("{}") end)
app:get("/redirect", function(req, res) return res:redirect("/demo/text") end)
app:get("/moved", function(req, res) return res:redirect("/demo/text", 301) end)
app:get("/cookie", function(req, res)
    res:cookie("a", "1")
    res:cookie("b", "x; y", { path = "/p", max_age = 5, secure = true, same_site = "strict", http_only = false })
    return "set"
end)
app:get("/abort", function() local function deep() moonloop.abort(404, "no such user") end deep() end)
app:get("/abort-json", function() moonloop.abort(409, { why = "taken" }, { ["X-A"] = "b" }) end)
app:get("/file", function(req, res) return res:file("x") end)
local bad = {
    number = function() return 5 end,
    ["function"] = function() return print end,
    four = function() return "a", 200, {}, "d" end,
    status = function() return "a", 99 end,
    fraction = function() return "a", 200.5 end,
    headers = function() return "a", 200, "x" end,
    cr = function() return "a", 200, { X = "a\rb" } end,
    lf = function() return "a", 200, { X = "a\nSet-Cookie: b" } end,
    nul = function() return "a", 200, { X = "a\0b" } end,
    name = function() return "a", 200, { ["X\r\nY"] = "b" } end,
    blank = function() return "a", 200, { ["X Y"] = "b" } end,
    empty = function() return "a", 200, { [""] = "b" } end,
    type = function() return "a", 200, { ["Content-Type"] = "text/plain\r\nX: y" } end,
    length = function() return "a", 200, { ["content-length"] = "5" } end,
    list = function() return "a", 200, { X = { "ok", "a\nb" } } end,
    value = function() return "a", 200, { X = true } end,
    cookie = function(req, res) res:cookie("a b", "1") return "" end,
    path = function(req, res) res:cookie("a", "1", { path = "/\r\nX: y" }) return "" end,
    semicolon = function(req, res) res:cookie("a", "1", { path = "/; Domain=evil" }) return "" end,
    redirect = function(req, res) return res:redirect("/\r\nX: y") end,
    cycle = function() local t = {} t.t = t return t end,
    raised = function() error("secret") end,
    table = function() error({ secret = true }) end,
    ["nil"] = function() error() end,
    global = function() return undeclared_thing end,
    write = function() undeclared_thing = 1 end,
}
for name, handler in pairs(bad) do app:get("/bad/" .. name, handler) end
app:get("/fine", function() return "fine" end)
return app
]]

describe("an answer", function()
    local site
    lazy_setup(function()
        site = server.start({ apps = { ["demo.lua"] = APP } })
    end)
    lazy_teardown(server.clean)

    local function get(path)
        return site:get("/demo" .. path)
    end

    local function check(path, status, kind, body)
        local response = get(path)
        assert.equal(status, response.status)
        assert.equal(kind, response.headers["content-type"])
        assert.equal(body, response.body)
        return response
    end

    it("is text, JSON or nothing", function()
        check("/text", 200, "text/plain; charset=utf-8", "text")
        check("/json", 200, "application/json", '{"a":1}')
        check("/empty", 200, "application/json", "{}")
        check("/array", 200, "application/json", "[]")
        check("/nothing", 204, nil, "")
    end)

    it("has the status and fields that are returned or set", function()
        assert.equal("b", check("/created", 201, "text/csv", "made").headers["x-a"])
        assert.equal("1, 2", get("/list").headers["x-a"])
        assert.equal("c", check("/res", 202, "text/plain; charset=utf-8", "res").headers["x-b"])
        assert.equal(203, get("/both").status)
    end)

    it("comes from res:html and its sisters, returned or not", function()
        check("/html", 200, "text/html; charset=utf-8", "<p>")
        check("/bare-html", 200, "text/html; charset=utf-8", "<p>")
        check("/res-json", 200, "application/json", '"text"')
        check("/res-text", 200, "text/plain; charset=utf-8", "{}")
    end)

    it("redirects", function()
        assert.equal("/demo/text", get("/redirect").headers.location)
        assert.equal(302, get("/redirect").status)
        assert.equal(301, get("/moved").status)
    end)

    it("sets cookies", function()
        assert.equal("a=1; Path=/; HttpOnly; SameSite=Lax, b=x%3B%20y; Path=/p; Max-Age=5; Secure; SameSite=Strict",
            get("/cookie").headers["set-cookie"])
    end)

    it("may leave from anywhere", function()
        check("/abort", 404, "text/plain; charset=utf-8", "no such user")
        assert.equal("b", check("/abort-json", 409, "application/json", '{"why":"taken"}').headers["x-a"])
    end)

    it("of res:file says that it is not there yet", function()
        assert.equal(500, get("/file").status)
        site:wait_log("res:file is not there yet")
    end)

    for name, words in pairs({
        number = "not a number", ["function"] = "not a function", four = "nothing behind them",
        status = "200 to 599", fraction = "200 to 599", headers = "are a table", cr = "line break", lf = "line break",
        nul = "line break or NUL", name = "not a header name", blank = "not a header name",
        empty = "not a header name", type = "line break", length = "the server itself sets", list = "line break",
        value = "bad value", cookie = "no name for a cookie", path = "cookie: path", semicolon = "cookie: path",
        redirect = "line break", cycle = "JSON", raised = "secret", table = "error value of type table",
        ["nil"] = "error(nil)", global = "apps/demo.lua:51", write = "apps/demo.lua:52",
    }) do
        it("is 500 for the bad handler " .. name .. ", and the log says why", function()
            check("/bad/" .. name, 500, "text/plain; charset=utf-8", "internal server error\n")
            site:wait_log(words, 2)
            check("/fine", 200, "text/plain; charset=utf-8", "fine")
        end)
    end
end)
