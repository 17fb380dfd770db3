--- With --dev, pages say that the newest code was refused.

local process = require("spec.support.process")
local server = require("spec.support.server")

local PAGE = [[
local moonloop = require("moonloop")
local app = moonloop.app()
app:get("/", function(_, res) return res:html("<p>page</p>") end)
app:get("/text", function() return "text" end)
return app
]]

local BROKEN = [[
error("<b>no</b> & never")
]]

describe("the overlay", function()
    after_each(server.clean)

    it("is on HTML pages while the newest code is refused, and nowhere else", function()
        local site = server.start({ apps = { ["index.lua"] = PAGE, ["other.lua"] = PAGE }, options = { "--dev" } })
        assert.equal("<p>page</p>", site:get("/").body)
        site:write("other.lua", BROKEN)
        site:wait_log("is refused")
        local body = site:get("/").body
        assert.truthy(body:find("<p>page</p>", 1, true))
        assert.truthy(body:find("other.lua:1: &lt;b&gt;no&lt;/b&gt; &amp; never", 1, true))
        assert.truthy(site:get("/other/").body:find("The change was refused", 1, true))
        assert.equal("text", site:get("/text").body)

        site:write("index.lua", (PAGE:gsub("page", "new")))
        site:wait_log("is live")
        body = site:get("/").body
        assert.truthy(body:find("<p>new</p>", 1, true))
        assert.truthy(body:find("&amp; never", 1, true), "one app is still refused")

        site:write("other.lua", PAGE)
        site:wait_log("generation 5 is live")
        assert.equal("<p>new</p>", site:get("/").body)
    end)

    it("goes when the change is taken back", function()
        local site = server.start({ apps = { ["index.lua"] = PAGE }, options = { "--dev" } })
        site:write("index.lua", BROKEN)
        site:wait_log("is refused")
        assert.truthy(site:get("/").body:find("The change was refused", 1, true))
        site:write("index.lua", PAGE)
        process.wait_for("a page without overlay", function()
            return site:get("/").body == "<p>page</p>"
        end)
    end)

    it("is not there without --dev", function()
        local site = server.start({ apps = { ["index.lua"] = PAGE, ["other.lua"] = PAGE } })
        site:write("other.lua", BROKEN)
        site:wait_log("is refused")
        assert.equal("<p>page</p>", site:get("/").body)
    end)
end)
