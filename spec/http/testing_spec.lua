--- moonloop.testing: apps called in this process.

local command = require("spec.support.command")
local moonloop = require("moonloop")
local process = require("spec.support.process")
local testing = require("moonloop.testing")

describe("testing.client", function()
    local directory

    before_each(function()
        directory = process.directory()
    end)

    after_each(process.clean)

    local function client_of(files)
        for name, text in pairs(files) do
            command.write(directory .. "/" .. name, text)
        end
        return testing.client(directory)
    end

    it("calls the apps of a directory over the code that serves them", function()
        local client = client_of({ ["hello.lua"] = [[
            local moonloop = require("moonloop")
            local app = moonloop.app()
            app:get("/", function() return "Hello, world!\n" end)
            app:get("/{name}", function(req) return { name = req.params.name, a = req.query.a } end)
            app:post("/", function(req, res)
                res.headers["X-Seen"] = req.headers["X-Given"]
                return req:json(), 201
            end)
            app:get("/sleep", function() moonloop.sleep(0.01) return "awake" end)
            app:get("/away", function(req, res) return res:redirect("/hello/") end)
            app:get("/broken", function() error("oops") end)
            return app
        ]] })
        local answer = client:get("/hello/")
        assert.equal("Hello, world!\n", answer.text)
        assert.equal(200, answer.status)
        assert.equal("text/plain; charset=utf-8", answer.headers["content-type"])
        assert.same({ name = "Ann", a = "1 2" }, client:get("/hello/Ann", { query = { a = "1 2" } }):json())
        answer = client:post("/hello/", { json = { 1, 2 }, headers = { ["X-Given"] = "x" } })
        assert.equal(201, answer.status)
        assert.equal("x", answer.headers["X-Seen"])
        assert.same({ 1, 2 }, answer:json())
        assert.equal("awake", client:get("/hello/sleep").text)
        assert.equal(302, client:get("/hello/away").status)
        assert.equal("Hello, world!\n", client:get("/hello/away", { redirects = 1 }).text)
        assert.equal(500, client:get("/hello/broken").status)
        assert.equal(404, client:get("/nowhere").status)
        assert.equal("", client:head("/hello/").text)
    end)

    it("runs several requests at once", function()
        local client = client_of({ ["index.lua"] = [[
            local moonloop = require("moonloop")
            local app = moonloop.app()
            app:get("/{n:int}", function(req) moonloop.sleep(0.05) return tostring(req.params.n) end)
            return app
        ]] })
        local began, texts = moonloop.now(), {}
        moonloop.scope(function(scope)
            for i = 1, 20 do
                scope:spawn(function()
                    texts[i] = client:get("/" .. i).text
                end)
            end
        end)
        assert.is_true(moonloop.now() - began < 0.5)
        assert.equal("20", texts[20])
    end)

    it("says where an app does not load", function()
        local ok, err = pcall(client_of, { ["good.lua"] = 'return require("moonloop").app()',
            ["bad.lua"] = "local x =\n= 1" })
        assert.is_false(ok)
        assert.matches("bad.lua:2: unexpected symbol", err)
        ok, err = pcall(testing.client, directory .. "/none")
        assert.is_false(ok)
        assert.matches("No such file or directory", err)
    end)

    it("can be closed while a request runs", function()
        local client = client_of({ ["index.lua"] = [[
            local moonloop = require("moonloop")
            local app = moonloop.app()
            app:get("/", function() moonloop.sleep(60) end)
            return app
        ]] })
        moonloop.scope(function(scope)
            local task = scope:spawn(pcall, client.get, client, "/")
            moonloop.sleep(0.02)
            client:close()
            local ok, err = task:wait()
            assert.is_false(ok)
            assert.equal("closed", err.code)
        end)
    end)
end)
