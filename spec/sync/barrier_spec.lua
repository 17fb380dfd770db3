--- Barriers.

local moonloop = require("moonloop")
local tasks = require("spec.support.tasks")

local raised, until_true = tasks.raised, tasks.until_true

describe("a barrier", function()
    local check_leaks

    before_each(function() check_leaks = tasks.leak_check() end)
    after_each(function() check_leaks() end)

    it("holds tasks until all have come, again and again", function()
        local barrier, steps = moonloop.barrier(3), {}
        moonloop.map({ "a", "b", "c" }, function()
            for round = 1, 3 do
                steps[#steps + 1] = round
                barrier:wait()
            end
        end)
        assert.same({ 1, 1, 1, 2, 2, 2, 3, 3, 3 }, steps)
        assert.equal(3, barrier.rounds)
        assert.equal(0, barrier.waiting)
    end)

    it("tells each which place it came in", function()
        local barrier = moonloop.barrier(3)
        assert.same({ 1, 2, 3 }, moonloop.map({ 1, 2, 3 }, function() return barrier:wait() end))
        assert.equal(1, moonloop.barrier(1):wait())
    end)

    it("is broken for all by one that is cancelled, until it is reset", function()
        local barrier = moonloop.barrier(3, { name = "start" })
        local a, b = moonloop.spawn(barrier.wait, barrier), moonloop.spawn(barrier.wait, barrier)
        until_true(function() return barrier.waiting == 2 end)
        a:cancel()
        local text, code = raised(b.wait, b)
        assert.equal("broken", code)
        assert.matches("the barrier start is broken", text)
        assert.equal("cancelled", select(2, raised(a.wait, a)))
        assert.is_true(barrier.is_broken)
        assert.equal("broken", select(2, raised(barrier.wait, barrier)))
        barrier:reset()
        assert.same({ 1, 2, 3 }, moonloop.map({ 1, 2, 3 }, function() return barrier:wait() end))
    end)

    it("sends those who wait away when it is reset or closed", function()
        local barrier = moonloop.barrier(2)
        local t = moonloop.spawn(barrier.wait, barrier)
        until_true(function() return barrier.waiting == 1 end)
        barrier:reset()
        assert.equal("broken", select(2, raised(t.wait, t)))
        t = moonloop.spawn(barrier.wait, barrier)
        until_true(function() return barrier.waiting == 1 end)
        barrier:close()
        assert.equal("closed", select(2, raised(t.wait, t)))
        assert.equal("closed", select(2, raised(barrier.wait, barrier)))
        assert.equal("misuse", select(2, raised(barrier.close, barrier)))
    end)

    it("refuses counts that make no sense", function()
        for _, count in ipairs({ 0, -1, 1.5, 0 / 0, "2" }) do
            assert.matches("barrier_spec.lua:%d+: barrier: count: expected an integer from 1",
                raised(function() local _ = moonloop.barrier(count) end))
        end
    end)
end)
