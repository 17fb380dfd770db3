local examples = require("spec.support.examples")
local server = require("spec.support.server")

describe("apps/blocking.lua", function()
    after_each(server.clean)

    it("answers ten blocking sleeps one after another, and everyone else after them", function()
        local site = examples.serve({ "blocking.lua", "hello.lua" })
        local answers = examples.at_once(site, examples.times("/blocking/0.3", 10))
        assert.is_true(answers[10].seconds > 9 * 0.3, answers[10].seconds)
        assert.is_true(answers[5].seconds < 0.75 * answers[10].seconds, "they came one by one")
    end)

    it("is warned of in the log, with app, route, file and line", function()
        local site = examples.serve({ "blocking.lua" })
        assert.equal(200, site:get("/blocking/").status)
        local log = site:wait_log("the loop stood still")
        local line = examples.line("apps/blocking.lua", 'app:get("/", ')
        assert.truthy(log:find("app=blocking route=/blocking/ handler=apps/blocking.lua:" .. line, 1, true), log)
        assert.equal(200, site:get("/blocking/").status) -- from the second time on, the line of the call
        site:wait_log(("apps/_lib/blocking_sleep.lua:%d: the loop stood still"):format(
            examples.line("apps/_lib/blocking_sleep.lua", "ffi.C.usleep")))
    end)

    it("#watchdog is answered 500 beyond block_limit, with the call in the log, and the worker lives", function()
        local site = examples.serve({ "blocking.lua", "hello.lua" })
        local pid = site:worker_pids()[1]
        local answers = examples.at_once(site, { "/blocking/1.3", "/hello/" })
        for _, answer in ipairs(answers) do
            assert.equal(answer.target == "/hello/" and 200 or 500, answer.status)
        end
        local log = site:wait_log("held the loop for")
        local line = examples.line("apps/blocking.lua", "blocking_sleep(req.params.seconds)")
        assert.truthy(log:find("apps/blocking.lua:" .. line .. ":", 1, true), log)
        assert.same({ pid }, site:worker_pids())
    end)
end)
