local examples = require("spec.support.examples")
local process = require("spec.support.process")
local server = require("spec.support.server")

describe("apps/cpu.lua", function()
    local site

    before_each(function()
        site = examples.serve({ "cpu.lua", "hello.lua" }, { options = { "--workers", "1", "--threads", "4" } })
    end)
    after_each(server.clean)

    it("serves others while a handler computes in a thread", function()
        for _, target in ipairs({ "/cpu/thread", "/cpu/offload", "/cpu/parts" }) do
            local answers = examples.at_once(site, { target, "/hello/" })
            assert.equal("/hello/", answers[1].target)
            assert.equal('{"primes":78498}', answers[2].body)
        end
    end)

    it("computes in several threads at once", function()
        site:get("/cpu/parts")
        local threads = 0
        for name in require("posix.dirent").files("/proc/" .. site:worker_pids()[1] .. "/task") do
            local stat = process.read("/proc/" .. site:worker_pids()[1] .. "/task/" .. name .. "/stat")
            local user = stat and tonumber((stat:match("^%d+ %b() " .. ("%S+ "):rep(11) .. "(%d+)")))
            threads = threads + ((user or 0) > 0 and 1 or 0) -- in hundredths of a second
        end
        assert.is_true(threads >= 3, threads .. " threads have computed")
    end)

    it("#watchdog interrupts a handler that never ends: 500, a traceback in the log, and the worker lives", function()
        local pid = site:worker_pids()[1]
        local answers = examples.at_once(site, { "/cpu/forever", "/hello/" })
        for _, answer in ipairs(answers) do
            assert.equal(answer.target == "/hello/" and 200 or 500, answer.status)
            assert.is_true(answer.seconds < 10, answer.seconds) -- and not the 30 of its timeout
        end
        local log = site:wait_log("held the loop for")
        assert.truthy(log:find("apps/cpu.lua:" .. examples.line("apps/cpu.lua", "while true"), 1, true), log)
        assert.truthy(log:find("app=cpu route=/cpu/forever", 1, true), log)
        assert.equal("Hello, world!\n", site:get("/hello/").body)
        assert.same({ pid }, site:worker_pids())
    end)
end)
