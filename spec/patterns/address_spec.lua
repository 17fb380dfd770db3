local cjson = require("cjson")
local examples = require("spec.support.examples")
local process = require("spec.support.process")
local server = require("spec.support.server")

describe("apps/address.lua", function()
    after_each(server.clean)

    it("tells an address that a server on all addresses is reached by, and serve prints it", function()
        local site = examples.serve({ "address.lua" }, { bind = "0.0.0.0:0" })
        local answer = cjson.decode(site:get("/address/").body)
        local host, port = site.process:out():match("other machines reach it at http://(%d+%.%d+%.%d+%.%d+):(%d+)\n")
        assert.equal(host, answer.this_machine)
        assert.equal(site.port, tonumber(port))
        assert.not_equal("0.0.0.0", host)
        local connection = server.connect(host, site.port)
        assert.equal(200, connection:request("GET", "/address/").status)
        connection:close()
    end)

    it("has nothing to add when the server listens on one address", function()
        local site = examples.serve({ "address.lua" })
        assert.is_nil(site.process:out():find("other machines", 1, true))
    end)

    it("is what the system answers with on its way out, when there is one", function()
        local route = process.run({ "sh", "-c", "ip -4 route get 192.0.2.1 2>/dev/null" })
        local source = route.out:match("src (%S+)")
        if route.code ~= 0 or not source then
            pending("no ip command or no route")
            return
        end
        local site = examples.serve({ "address.lua" })
        assert.equal(source, cjson.decode(site:get("/address/").body).this_machine)
    end)
end)
