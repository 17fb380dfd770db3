local examples = require("spec.support.examples")
local server = require("spec.support.server")

describe("apps/sleep.lua", function()
    after_each(server.clean)

    it("answers ten sleeps of one second together in about one second, on one worker", function()
        local site = examples.serve({ "sleep.lua" })
        local answers = examples.at_once(site, examples.times("/sleep/", 10))
        for _, answer in ipairs(answers) do
            assert.equal(200, answer.status)
            assert.is_true(answer.seconds >= 0.99)
        end
        assert.is_true(answers[10].seconds < 3, answers[10].seconds)
    end)

    it("answers in the order in which the sleeps end", function()
        local site = examples.serve({ "sleep.lua" })
        local answers = examples.at_once(site, { "/sleep/0.9", "/sleep/0.1", "/sleep/0.5" })
        assert.same({ "/sleep/0.1", "/sleep/0.5", "/sleep/0.9" },
            { answers[1].target, answers[2].target, answers[3].target })
    end)
end)
