local ffi = require("ffi")
local core = require("spec.support.core")
core.declare("loop/loop.h")
core.declare("loop/timer.h")
core.declare("loop/deadline.h")

describe("timer", function()
    local loop

    before_each(function()
        loop = core.lib.loop_new()
    end)

    after_each(function()
        core.lib.loop_free(loop)
    end)

    ---Starts timers with these delays, stops those at the places given, runs the loop.
    ---@return integer[] places in the order in which they fired
    local function run(delays, stopped)
        local timers, fired = {}, {}
        local on_due = ffi.cast("void (*)(struct timer *)", function(timer)
            for place, each in ipairs(timers) do
                if each == timer then
                    fired[#fired + 1] = place
                end
            end
        end)
        for place, delay in ipairs(delays) do
            timers[place] = ffi.new("struct timer[1]")
            core.lib.timer_start(loop, timers[place], delay, on_due)
        end
        for _, place in ipairs(stopped or {}) do
            core.lib.timer_stop(loop, timers[place])
        end
        core.lib.loop_run(loop)
        on_due:free()
        return fired
    end

    it("fires in order of due time, equal ones in order of start", function()
        assert.same({ 2, 4, 1, 3, 5 }, run({ 6, 0, 6, 2, 9 }))
    end)

    it("does not fire what was stopped, and the others still in order", function()
        assert.same({ 6, 3, 1, 4 }, run({ 7, 3, 5, 8, 1, 0 }, { 2, 5 }))
    end)

    it("keeps the order of many, whichever are stopped", function()
        local seed = os.time()
        math.randomseed(seed)
        local delays, stopped, expected = {}, {}, {}
        for place = 1, 500 do
            delays[place] = math.random(0, 20)
            if math.random(3) == 1 then
                stopped[#stopped + 1] = place
            else
                expected[#expected + 1] = place
            end
        end
        table.sort(expected, function(a, b)
            if delays[a] ~= delays[b] then
                return delays[a] < delays[b]
            end
            return a < b
        end)
        assert.same(expected, run(delays, stopped), "seed " .. seed)
    end)

    it("is harmless to stop twice", function()
        local timer = ffi.new("struct timer[1]")
        core.lib.timer_stop(loop, timer)
        assert.is_false(core.lib.timer_is_running(timer))
    end)
end)

describe("deadline", function()
    it("strikes late rather than early, in order, and not when stopped", function()
        local loop = core.lib.loop_new()
        local queue = core.lib.deadline_queue(loop, 20)
        local deadlines, struck = ffi.new("struct deadline[3]"), {}
        local begun = tonumber(core.lib.loop_now_ms(loop))
        local on_due = ffi.cast("void (*)(struct deadline *)", function(deadline)
            struck[#struck + 1] = tonumber(deadline - deadlines)
            if #struck == 2 then
                core.lib.loop_stop(loop)
            end
        end)
        for i = 0, 2 do
            core.lib.deadline_init(deadlines + i)
            core.lib.deadline_start(queue, deadlines + i, on_due)
        end
        core.lib.deadline_stop(deadlines + 1)
        local keep_alive = ffi.new("struct timer[1]")
        local on_late = ffi.cast("void (*)(struct timer *)", function() end)
        core.lib.timer_start(loop, keep_alive, 5000, on_late)
        core.lib.loop_run(loop)
        core.lib.timer_stop(loop, keep_alive)
        assert.same({ 0, 2 }, struck)
        assert.is_true(tonumber(core.lib.loop_now_ms(loop)) - begun >= 20)
        on_due:free()
        on_late:free()
        core.lib.loop_free(loop)
    end)
end)
