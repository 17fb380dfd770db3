local cjson = require("cjson")
local examples = require("spec.support.examples")
local server = require("spec.support.server")

describe("apps/fanout.lua", function()
    local site

    before_each(function()
        site = examples.serve({ "fanout.lua" })
    end)
    after_each(server.clean)

    local function ask(target)
        local answer = examples.at_once(site, { target })[1]
        assert.equal(200, answer.status, answer.body)
        return cjson.decode(answer.body), answer.seconds
    end

    it("takes the sum one by one and the slowest together, with the same answer in the same order", function()
        local one_by_one, sum = ask("/fanout/one-by-one")
        local together, slowest = ask("/fanout/together")
        assert.same({ parts = { 1, 2, 3, 4, 5 } }, one_by_one)
        assert.same(one_by_one, together)
        assert.is_true(sum >= 1.49 and slowest >= 0.49)
        assert.is_true(slowest < 0.7 * sum, slowest .. " and " .. sum)
    end)

    it("keeps what arrived within a deadline and counts what did not", function()
        local answer, seconds = ask("/fanout/within/0.35")
        assert.equal(1, answer.parts[1])
        assert.equal(5, #answer.parts + answer.late)
        assert.is_true(answer.late >= 2)
        assert.is_true(seconds >= 0.34 and seconds < 1.2, seconds)
    end)
end)
