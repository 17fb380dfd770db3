local examples = require("spec.support.examples")
local server = require("spec.support.server")

local TEN_THREADS = { "--workers", "1", "--threads", "10" }

describe("apps/unblock.lua", function()
    after_each(server.clean)

    it("runs ten blocking handlers at the same time, on one worker with ten threads", function()
        local site = examples.serve({ "unblock.lua" }, { options = TEN_THREADS })
        local answers = examples.at_once(site, examples.times("/unblock/thread", 10))
        for _, answer in ipairs(answers) do
            assert.equal(200, answer.status)
            assert.equal('{"done":true}', answer.body)
        end
        assert.is_true(answers[10].seconds < 0.5 * 10 * 0.5, answers[10].seconds)
    end)

    it("differs from the route beside it in one word: that one is answered after all that came before", function()
        local site = examples.serve({ "unblock.lua", "hello.lua" }, { options = TEN_THREADS })
        local answers = examples.at_once(site, { "/unblock/thread", "/hello/" })
        assert.equal("/hello/", answers[1].target)
        answers = examples.at_once(site, examples.times("/unblock/loop", 4))
        assert.is_true(answers[4].seconds > 3.9 * 0.5, answers[4].seconds)
    end)
end)
