--- Runs the examples of docs/http-client.md, each as a script of its own, against apps that answer for
--- api.example.com.

local command = require("spec.support.command")
local server = require("spec.support.server")

local APP = [[
local app = require("moonloop").app()
app:get("/users", function(req) return { { name = "Ada", page = req.query.page } } end)
app:post("/users", function(req) return req:json(), 201 end)
app:get("/large", function() return ("x"):rep(1000000) end)
return app
]]

describe("docs/http-client.md", function()
    local site

    setup(function()
        site = server.start({ apps = { ["index.lua"] = APP } })
    end)

    teardown(function()
        server.clean()
    end)

    local count = 0
    for block in command.read("docs/http-client.md"):gmatch("\n```lua\n(.-)\n```") do
        count = count + 1
        it("has an example that runs: number " .. count, function()
            local text = block:gsub("https://api%.example%.com", "http://127.0.0.1:" .. site.port)
            assert(loadstring(text, "=docs/http-client.md"))()
        end)
    end
    assert(count > 0)
end)
