local examples = require("spec.support.examples")
local server = require("spec.support.server")

describe("apps/blocking.lua", function()
    after_each(server.clean)

    it("answers ten blocking sleeps one after another, and everyone else after them", function()
        local site = examples.serve({ "blocking.lua", "hello.lua" })
        local one = examples.at_once(site, { "/blocking/" })[1].seconds
        local answers = examples.at_once(site, examples.times("/blocking/", 10))
        assert.is_true(one >= 0.29)
        assert.is_true(answers[10].seconds > 9 * 0.3, answers[10].seconds)
        assert.is_true(answers[5].seconds < 0.75 * answers[10].seconds, "they came one by one")
    end)
end)
