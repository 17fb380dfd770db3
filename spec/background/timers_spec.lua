local calendar = require("moonloop.util.calendar")
local clock = require("moonloop.clock")
local errors = require("moonloop.util.errors")
local moonloop = require("moonloop")
local testing = require("moonloop.testing")

-- In a script, and so in a spec, what an app declares begins at once.

--- Runs fn(app, elapsed) in virtual time, from a time of day in UTC if given; stops what is left.
local function virtual(start, fn)
    if fn == nil then
        start, fn = nil, start
    end
    return testing.virtual({ start = start }, function()
        local app, began = moonloop.app(), moonloop.now()
        local ok, err = pcall(fn, app, function() return math.floor((moonloop.now() - began) * 1000 + 0.5) / 1000 end)
        for _, entry in ipairs(app.jobs and app.jobs.list or {}) do
            entry:stop()
        end
        moonloop.sleep(100) -- runs that are under way end, in no time
        if not ok then
            error(err, 0)
        end
    end)
end

describe("app:every", function()
    it("runs at a fixed rate, the first time after one interval, however long a run takes", function()
        virtual(function(app, elapsed)
            local times = {}
            local timer = app:every(10, function()
                times[#times + 1] = elapsed()
                moonloop.sleep(3)
            end)
            assert.equal("waiting", timer.state)
            moonloop.sleep(36)
            assert.same({ 10, 20, 30 }, times)
            assert.equal(3, timer.runs)
            assert.equal("every 10s", timer.name)
            moonloop.sleep(5)
            assert.equal("running", timer.state)
        end)
    end)

    it("does not drift over a week", function()
        virtual(function(app, elapsed)
            local last
            local timer = app:every(7.5, function() last = elapsed() end)
            moonloop.sleep(7 * 86400 + 1)
            assert.equal(80640, timer.runs)
            assert.equal(7 * 86400, last)
        end)
    end)

    it("runs at once with `immediately`", function()
        virtual(function(app, elapsed)
            local times = {}
            app:every(10, function() times[#times + 1] = elapsed() end, { immediately = true })
            moonloop.sleep(25)
            assert.same({ 0, 10, 20 }, times)
        end)
    end)

    it("tells its next and its last run as Unix time", function()
        virtual(function(app)
            local timer = app:every(10, function() end)
            assert.is_nil(timer.last_run)
            assert.is_true(math.abs(timer.next_run - clock.wall() - 10) < 0.01)
            moonloop.sleep(14)
            assert.is_true(math.abs(timer.last_run - clock.wall() + 4) < 0.01)
            assert.is_true(math.abs(timer.next_run - clock.wall() - 6) < 0.01)
        end)
    end)

    it("delays each tick by a part of its jitter, without moving the next", function()
        virtual(function(app, elapsed)
            local times, spread = {}, 0
            app:every(10, function() times[#times + 1] = elapsed() end, { jitter = "50%" })
            moonloop.sleep(1006)
            assert.equal(100, #times)
            for i, time in ipairs(times) do
                local delay = time - i * 10
                assert.is_true(delay >= 0 and delay <= 5.01, delay)
                spread = math.max(spread, delay)
            end
            assert.is_true(spread > 2)
        end)
    end)

    it("counts and keeps what fails, and goes on", function()
        virtual(function(app)
            local timer = app:every(1, function() error("disk full") end)
            moonloop.sleep(3.5)
            assert.equal(3, timer.runs)
            assert.equal(3, timer.failures)
            assert.equal("error", timer.last_error.code)
            assert.matches("timers_spec.lua:%d+: disk full", tostring(timer.last_error))
            assert.matches("timers_spec.lua", timer.last_error.traceback)
        end)
    end)

    it("stops and starts: no tick comes meanwhile, a run goes on to its end, and it counts anew", function()
        virtual(function(app, elapsed)
            local times, ends = {}, 0
            local timer = app:every(10, function()
                times[#times + 1] = elapsed()
                moonloop.sleep(4)
                ends = ends + 1
            end)
            moonloop.sleep(12)
            assert.equal(timer, timer:stop())
            assert.equal("running", timer.state)
            moonloop.sleep(30)
            assert.equal(1, ends)
            assert.equal("stopped", timer.state)
            assert.is_nil(timer.next_run)
            timer:stop()
            timer:start():start()
            moonloop.sleep(11)
            assert.same({ 10, 52 }, times)
        end)
    end)

    it("can be stopped by its own run", function()
        virtual(function(app)
            local timer
            timer = app:every(1, function()
                if timer.runs == 3 then
                    timer:stop()
                end
            end)
            moonloop.sleep(10)
            assert.equal(3, timer.runs)
        end)
    end)

    it("makes one of the ticks that it missed while the loop stood still", function()
        local app = moonloop.app()
        local timer = app:every(0.01, function() end)
        moonloop.sleep(0.025)
        local runs, until_then = timer.runs, moonloop.now() + 0.2
        repeat until moonloop.now() > until_then -- nobody else runs
        moonloop.sleep(0.001)
        timer:stop()
        assert.is_true(timer.runs - runs <= 2, timer.runs - runs)
    end)

    it("can be many at once", function()
        virtual(function(app)
            local count = 0
            for i = 1, 1000 do
                app:every(i, function() count = count + 1 end, { name = "n" .. i })
            end
            moonloop.sleep(1000.5)
            assert.equal(7069, count) -- the sum of 1000/i, rounded down each
        end)
    end)
end)

describe("a tick that finds a run under way", function()
    --- Times at which runs of 25 s begin, every 10 s for 100 s.
    local function begins(options, seconds)
        local times, timer = {}, nil
        virtual(function(app, elapsed)
            timer = app:every(10, function()
                times[#times + 1] = elapsed()
                moonloop.sleep(25)
            end, options)
            moonloop.sleep(seconds or 99)
            timer = { skipped = timer.skipped, queued = timer.queued }
        end)
        return times, timer
    end

    it("is left out with overlap = skip, the default", function()
        local times, timer = begins({})
        assert.same({ 10, 40, 70 }, times)
        assert.equal(6, timer.skipped)
        assert.same({ 10, 40, 70 }, (begins({ overlap = "skip" })))
    end)

    it("waits for its turn with overlap = queue", function()
        local times, timer = begins({ overlap = "queue" })
        assert.same({ 10, 35, 60, 85 }, times)
        assert.equal(5, timer.queued)
    end)

    it("is left out when too many wait", function()
        local times, timer = begins({ overlap = "queue", queue = 2 })
        assert.same({ 10, 35, 60, 85 }, times)
        assert.equal(2, timer.queued)
        assert.equal(3, timer.skipped)
    end)

    it("runs beside it with overlap = allow, as far as the app may have background work", function()
        assert.same({ 10, 20, 30, 40, 50, 60, 70, 80, 90 }, (begins({ overlap = "allow" })))
        testing.virtual(function()
            local app = moonloop.app({ max_background = 2 })
            local timer = app:every(10, function() moonloop.sleep(25) end, { overlap = "allow" })
            moonloop.sleep(99)
            timer:stop()
            assert.equal(6, timer.runs)
            assert.equal(3, timer.skipped)
            moonloop.sleep(30)
        end)
    end)
end)

describe("runs of a timer", function()
    it("come one at a time, and none is forgotten, in whatever order tasks go on", function()
        local function stop_in_the_middle()
            local app, depth, deepest, begun = moonloop.app(), 0, 0, 0
            local function work()
                depth, begun = depth + 1, begun + 1
                deepest = math.max(deepest, depth)
                moonloop.sleep(math.random() * 3)
                depth = depth - 1
            end
            local queue = app:every(1, work, { overlap = "queue" })
            moonloop.sleep(2 + math.random() * 40)
            local runs, queued = queue.runs, queue.queued
            queue:stop()
            moonloop.sleep(10)
            assert.equal(1, deepest)
            assert.equal(0, depth)
            assert.equal(begun, queue.runs)
            assert.same({ runs, 0 }, { queue.runs, queue.queued }, queued .. " waited when it was stopped")
        end
        testing.explore(60, stop_in_the_middle)
        testing.explore({ seed = 766628289 }, stop_in_the_middle) -- stops it in the moment of a tick
    end)
end)

describe("app:cron", function()
    local NOON = calendar.seconds(2026, 3, 28, 12)

    --- What the clock in Berlin shows at each run.
    local function shown_runs(line, seconds, options, meanwhile)
        local zones, list = require("moonloop.background.zones"), {}
        virtual(NOON, function(app)
            options = options or {}
            options.zone = "Europe/Berlin"
            local timer = app:cron(line, function()
                list[#list + 1] = zones.load("Europe/Berlin"):text(clock.wall()):sub(9, 16)
            end, options)
            if meanwhile then
                meanwhile(timer)
            end
            moonloop.sleep(seconds)
        end)
        return list
    end

    it("runs at times of day in its zone, over the change of the clocks", function()
        assert.same({ "29 03:00", "30 02:30", "31 02:30" }, shown_runs("30 2 * * *", 3 * 86400))
        assert.equal(46, #shown_runs("0 * * * *", 2 * 86400 - 3600 - 1))
    end)

    it("tells its next run", function()
        virtual(NOON, function(app)
            local timer = app:cron("0 3 * * *", function() end, { timezone = "America/New_York" })
            assert.equal("cron 0 3 * * *", timer.name)
            assert.equal(calendar.seconds(2026, 3, 29, 7), timer.next_run)
            assert.equal("waiting", timer.state)
        end)
    end)

    it("has jitter in seconds", function()
        for _, text in ipairs(shown_runs("0 * * * *", 86400, { jitter = 600 })) do
            assert.matches(":0%d$", text)
        end
    end)

    it("goes by the machine's zone when none is named", function()
        virtual(NOON, function(app)
            local timer = app:cron("30 * * * *", function() end)
            assert.is_true(timer.next_run > NOON and timer.next_run <= NOON + 3600)
        end)
    end)

    -- Somebody sets the clock: what it shows from then on is `change` seconds off.
    local function set_clock(change)
        local wall = clock.wall
        clock.wall = function() return wall() + change end
        return function() clock.wall = wall end
    end

    local function runs_with_change(line, change)
        local undo
        local ok, list = pcall(shown_runs, line, 86400, nil, function()
            moonloop.sleep(600)
            undo = set_clock(change)
        end)
        undo()
        return assert(ok and list, list)
    end

    it("runs once what a clock that is set forward leaves out", function()
        assert.same({ "28 15:10", "29 14:00" }, runs_with_change("0 14 * * *", 2 * 3600)) -- 13:10 becomes 15:10
        assert.equal("28 15:10", runs_with_change("0,30 * * * *", 2 * 3600)[1])
    end)

    it("does not run again what has run when the clock is set back", function()
        local list = runs_with_change("5 13 * * *", -3600) -- it has run at 13:05; 13:10 becomes 12:10
        assert.same({ "28 13:05" }, { list[1] })
        assert.equal("29 13:05", list[2])
    end)

    it("goes by the new time when the change was no summer time", function()
        local list = runs_with_change("0 14 * * *", 5 * 3600) -- 13:10 becomes 18:10: not today any more
        assert.same({ "29 14:00" }, list)
    end)

    it("goes on with an interval when the clock is set back", function()
        local list = runs_with_change("*/30 * * * *", -3600) -- 13:10 becomes 12:10
        assert.equal("28 12:30", list[1])
    end)
end)

describe("what an app says of its timers", function()
    local function message(fn, ...)
        local ok, err = pcall(fn, moonloop.app(), ...)
        assert.is_false(ok)
        assert.matches("^spec/background/timers_spec.lua:%d+: ", err)
        return (err:gsub("^.-:%d+: ", ""))
    end

    local function every(app, ...)
        app:every(...)
    end

    local function cron(app, ...)
        app:cron(...)
    end

    local function nothing() end

    it("is refused with the place when it is wrong", function()
        assert.equal("app:every: expected 0.001 to 31622400 seconds, got 0", message(every, 0, nothing))
        assert.matches("^app:every: expected 0.001 to 31622400 seconds, got %-?nan$", message(every, 0 / 0, nothing))
        assert.equal("app:every: expected 0.001 to 31622400 seconds, got a string", message(every, "5", nothing))
        assert.equal("app:every: expected a function, got a nil", message(every, 5))
        assert.equal("app:every: unknown option jiter; did you mean jitter?; there are immediately, jitter, name, "
            .. "once, overlap, queue", message(every, 5, nothing, { jiter = 1 }))
        assert.equal("app:every: name: expected a string, got a number", message(every, 5, nothing, { name = 5 }))
        assert.equal('app:every: option overlap: expected skip, queue, allow, got "sometimes"',
            message(every, 5, nothing, { overlap = "sometimes" }))
        assert.equal('app:every: option once: expected server, got "worker"',
            message(every, 5, nothing, { once = "worker" }))
        assert.equal("app:every: option queue: expected a whole number of 1 or more, got 0",
            message(every, 5, nothing, { queue = 0 }))
        assert.equal("app:every: option jitter: expected 0 to 5 seconds, got 6",
            message(every, 5, nothing, { jitter = 6 }))
        assert.equal('app:every: option jitter: expected seconds or a part of the interval like "10%", got "much"',
            message(every, 5, nothing, { jitter = "much" }))
        assert.matches("^app:every: option name: expected a name of 1 to 200 characters on one line",
            message(every, 5, nothing, { name = "" }))
        assert.equal('app:cron("* * 30 2 *"): it can never run: none of its months has such a day',
            message(cron, "* * 30 2 *", nothing))
        assert.equal('app:cron("61 * * * *"): minute: 61 is not in 0-59', message(cron, "61 * * * *", nothing))
        assert.equal('app:cron: option zone: there is no time zone "Europe/Belin"; did you mean Europe/Berlin?',
            message(cron, "@daily", nothing, { zone = "Europe/Belin" }))
        assert.equal("app:cron: the options zone and timezone mean the same: give one",
            message(cron, "@daily", nothing, { zone = "UTC", timezone = "UTC" }))
        assert.equal("app:cron: option jitter: expected seconds, got \"10%\"",
            message(cron, "@daily", nothing, { jitter = "10%" }))
    end)

    it("has one of each name", function()
        virtual(function(app)
            app:every(5, nothing, { name = "a" })
            local ok, err = pcall(every, app, 6, nothing, { name = "a" })
            assert.is_false(ok)
            assert.matches("there is an app:every named \"a\" already, from spec/background/timers_spec.lua:%d+",
                err)
            app:cron("@daily", nothing, { name = "a" }) -- another kind
            assert.equal("every 5s", app:every(5, nothing).name)
            assert.equal("every 5s #2", app:every(5, nothing).name)
        end)
    end)

    it("is listed for moonloop ps", function()
        virtual(function(app)
            app:every(5, nothing, { name = "listed" })
            moonloop.sleep(6)
            local found
            for _, row in ipairs(require("moonloop.activity").list()) do
                found = row.name == "listed" and row or found
            end
            assert.same({ "every", "waiting", 1 }, { found.kind, found.state, found.runs })
            assert.is_number(found.next_run)
            assert.matches("^script", found.app)
            assert.is_false(errors.is(found))
        end)
    end)
end)
