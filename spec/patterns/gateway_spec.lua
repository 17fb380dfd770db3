local cjson = require("cjson")
local examples = require("spec.support.examples")
local server = require("spec.support.server")

describe("apps/gateway.lua", function()
    local site

    before_each(function()
        site = examples.serve({ "gateway.lua" }, { options = { "--workers", "1" } })
    end)
    after_each(server.clean)

    local function ask()
        local answer = examples.at_once(site, { "/gateway/pages/hello" })[1]
        assert.equal(200, answer.status, answer.body)
        return cjson.decode(answer.body)
    end

    it("asks its servers in turn", function()
        local first, second, third = ask(), ask(), ask()
        assert.are_not.equal(first.from, second.from)
        assert.equal(first.from, third.from)
        assert.equal("hello", first.path)
        assert.equal("127.0.0.1", first.asked_by)
    end)

    it("leaves a broken one out without the client's noticing", function()
        ask()
        assert.equal(204, site:request("POST", "/gateway/servers/red/break").status)
        for _ = 1, 6 do
            assert.equal("blue", ask().from)
        end
        local rows = cjson.decode(site:get("/gateway/status").body)
        assert.equal("down", rows[1].state)
        assert.equal("up", rows[2].state)
    end)
end)
