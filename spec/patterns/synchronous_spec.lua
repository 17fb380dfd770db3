local examples = require("spec.support.examples")
local server = require("spec.support.server")

describe("apps/synchronous.lua", function()
    after_each(server.clean)

    it("answers two requests of a blocking app in parallel, and others meanwhile", function()
        local site = examples.serve({ "synchronous.lua", "hello.lua" },
            { options = { "--workers", "1", "--threads", "2" } })
        local answers = examples.at_once(site, { "/synchronous/", "/synchronous/1", "/hello/" })
        assert.equal("/hello/", answers[1].target)
        for i = 2, 3 do
            assert.equal("done, the blocking way\n", answers[i].body)
        end
        assert.is_true(answers[3].seconds >= 0.99 and answers[3].seconds < 1.8, answers[3].seconds)
    end)
end)
