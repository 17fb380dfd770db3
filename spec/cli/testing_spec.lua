local command = require("spec.support.command")
local moonloop = require("moonloop")
local testing = require("moonloop.testing")

local APP = [[
local moonloop = require("moonloop")
local app = moonloop.app()
app:get("/", function() return "hello" end)
app:get("/query", function(req) return req.query.q end)
app:post("/echo", function(req) return req:body(), 201, { ["X-Type"] = req.headers["content-type"] or "none" } end)
app:post("/json", function(req) return { got = req:json() } end)
app:get("/nothing", function() end)
app:get("/fail", function() error("secret") end)
app:get("/streamed", function(req, res)
    res:write("one ")
    res:write("two")
end)
app:get("/slow/{seconds:number}", function(req)
    moonloop.sleep(req.params.seconds)
    return "slept"
end)
return app
]]

describe("the client of moonloop.testing", function()
    local dir, client

    setup(function()
        dir = command.directory()
        command.write(dir .. "/apps/shop.lua", APP)
        client = testing.client(dir .. "/apps")
    end)

    teardown(function()
        client = nil
        command.remove(dir)
    end)

    it("gives status, headers in any case and the body of an answer", function()
        local res = client:get("/shop/")
        assert.equal(200, res.status)
        assert.equal("hello", res.text)
        assert.equal("text/plain; charset=utf-8", res.headers["Content-Type"])
        assert.equal("5", res.headers["content-length"])
    end)

    it("sends a query, headers and bodies of each kind", function()
        assert.equal("a b&c", client:get("/shop/query", { query = { q = "a b&c" } }).text)
        local res = client:post("/shop/echo", { body = "raw", headers = { ["content-type"] = "text/x" } })
        assert.same({ 201, "raw", "text/x" }, { res.status, res.text, res.headers["X-Type"] })
        assert.equal("a=1&b=x%26y", client:post("/shop/echo", { form = { b = "x&y", a = 1 } }).text)
        assert.same({ got = { n = 1 } }, client:post("/shop/json", { json = { n = 1 } }):json())
    end)

    it("sees what any client sees of errors, of nothing and of a wrong method", function()
        assert.equal(404, client:get("/nowhere").status)
        assert.equal(204, client:get("/shop/nothing").status)
        assert.equal(405, client:delete("/shop/").status)
        local res = client:get("/shop/fail")
        assert.equal(500, res.status)
        assert.not_matches("secret", res.text)
        res = client:head("/shop/")
        assert.same({ 200, "" }, { res.status, res.text })
    end)

    it("puts a streamed answer together", function()
        assert.equal("one two", client:get("/shop/streamed").text)
    end)

    it("meets the limits that it was given", function()
        local small = testing.client(dir .. "/apps", { max_body = 10 })
        assert.equal(413, small:post("/shop/echo", { body = ("x"):rep(11) }).status)
        assert.equal(201, small:post("/shop/echo", { body = ("x"):rep(10) }).status)
    end)

    it("carries bodies of a megabyte", function()
        local body = ("0123456789abcdef"):rep(65536)
        assert.is_true(client:post("/shop/echo", { body = body }).text == body)
    end)

    it("calls from several tasks at once", function()
        local begun = moonloop.now()
        local tasks = {}
        for i = 1, 10 do
            tasks[i] = moonloop.spawn(function()
                return client:get("/shop/slow/0.1").text
            end)
        end
        for i = 1, 10 do
            assert.equal("slept", tasks[i]:wait())
        end
        assert.is_true(moonloop.now() - begun < 0.8)
    end)

    it("is interrupted by a deadline", function()
        local ok, err = pcall(moonloop.timeout, 0.02, function()
            return client:get("/shop/slow/5")
        end)
        assert.is_false(ok)
        assert.equal("timeout", err.code)
    end)

    it("raises what is wrong with an app that does not load", function()
        command.write(dir .. "/bad/app.lua", "return (")
        assert.matches("bad/app%.lua:1: unexpected symbol near '<eof>'",
            select(2, pcall(testing.client, dir .. "/bad")))
        assert.error_matches(function()
            testing.client(dir .. "/nowhere")
        end, "nowhere")
        assert.error_matches(function()
            testing.client(dir .. "/apps", { max_bdy = 1 })
        end, 'no option "max_bdy"')
    end)
end)

describe("a new app", function()
    it("passes its own spec and its own check", function()
        local dir = command.directory()
        for _, name in ipairs({ "shop", "index" }) do
            assert.equal(0, command.call({ "new", name }, { cwd = dir }).code)
        end
        local result = command.call({ "test" }, { cwd = dir })
        assert.matches("\n4 passed, 0 failed, 0 skipped\n$", result.out)
        assert.equal("all well: 2 apps, 4 routes\n", command.call({ "check" }, { cwd = dir }).out)
        command.remove(dir)
    end)
end)
