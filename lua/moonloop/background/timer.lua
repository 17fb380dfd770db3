--- Timers: what app:every and app:cron give. A clock task waits for the ticks of a schedule and starts a run for
--- each; the runs are tasks of their own, so a slow one delays no tick.

local core = require("moonloop.core.job")
local clock = require("moonloop.clock")
local errors = require("moonloop.util.errors")
local log = require("moonloop.log")
local run = require("moonloop.background.run")
local task = require("moonloop.task")

local M = {}

---@class moonloop.Timer
---@field kind "every"|"cron"
---@field name string
---@field state string "waiting" for a tick, "running", "stopped", "elsewhere": another worker has it
---@field runs integer how often it has begun, in this worker
---@field failures integer
---@field skipped integer ticks that came while a run was under way, with overlap = "skip"
---@field queued integer ticks that wait for their turn, with overlap = "queue"
---@field last_run? number Unix seconds
---@field last_error? any what the last run that failed raised; an error object where that was possible
---@field next_run? number Unix seconds; nil while it is stopped
local Timer = { __name = "moonloop.Timer" }

local methods, getters = {}, {}

function Timer.__index(self, key)
    local getter = getters[key]
    if getter then
        return getter(self)
    end
    return methods[key]
end

---@param given { kind: string, name: string, label: string, fn: function, overlap: string, queue: integer,
---  schedule: table, once?: moonloop.background.Once, source: string }
---@return moonloop.Timer
function M.new(given)
    local self = { runs = 0, failures = 0, skipped = 0, queued = 0, is_stopped = false }
    for name, value in pairs(given) do
        self[name] = value
    end
    return setmetatable(self, Timer)
end

function getters.state(self)
    if not self.key then
        return "waiting" -- until its code takes over
    elseif core.count(self.key) > 0 then
        return "running"
    elseif self.is_stopped then
        return "stopped"
    elseif self.once and not self.once.is_held then
        return "elsewhere"
    end
    return "waiting"
end

function getters.next_run(self)
    return self.clock and self.schedule:next_run() or nil
end

-- ---- runs ----

local pump

local function on_run_end(self, state, err)
    self.since = nil
    if state ~= "done" then
        self.failures, self.last_error = self.failures + 1, err
    end
    if self.once then
        self.once:run_ended()
    end
    if self.queued > 0 then
        pump(self)
    end
end

---One run now. One that cannot begin because the app has too much under way is a tick that is skipped.
local function start_run(self)
    local ok, err = pcall(run.start, {
        app = self.app_name, label = self.label,
        on_end = function(state, reason) on_run_end(self, state, reason) end,
    }, self.limit, self.key, self.fn)
    if not ok then
        self.skipped = self.skipped + 1
        log.warn(("a tick of %s is left out: %s"):format(self.label, errors.message(err)), { app = self.app_name })
        return
    end
    self.runs, self.last_run = self.runs + 1, clock.wall()
    self.since = self.last_run
    if self.once then
        self.once:run_began()
    end
end

---Runs what has queued up, one after the other; also after runs of the generation before.
function pump(self)
    if self.is_pumping then
        return
    end
    self.is_pumping = true
    run.start({
        app = self.app_name, label = self.label .. " (queue)",
        on_end = function() self.is_pumping = false end,
    }, 0, nil, function()
        while self.queued > 0 and self.clock do
            errors.settle(core.wait(self.key))
            if core.count(self.key) == 0 then
                self.queued = self.queued - 1
                start_run(self)
            end
        end
    end)
end

---A tick that found a run under way.
local function skip(self, reason)
    self.skipped = self.skipped + 1
    if self.warned ~= self.runs then -- once for each run that takes so long
        self.warned = self.runs
        log.warn(("a tick of %s is left out: %s"):format(self.label, reason), { app = self.app_name })
    end
end

local function tick(self)
    if self.overlap == "allow" or (core.count(self.key) == 0 and self.queued == 0) then
        start_run(self)
    elseif self.overlap == "skip" then
        skip(self, "the run before is still under way")
    elseif self.queued >= self.queue then
        skip(self, ("%d wait already (option queue)"):format(self.queued))
    else
        self.queued = self.queued + 1
        pump(self)
    end
end

-- ---- the clock ----

---Whether this worker runs the tick. As long as nobody is known to have taken it, it is asked for again.
local function is_mine(self, stamp)
    if not self.once then
        return true
    end
    while true do
        local verdict = self.once:claim(stamp, self.schedule)
        local left = self.schedule:left()
        if verdict ~= "held" or left <= 0 then
            return verdict == "mine"
        end
        task.sleep(math.min(1, left))
    end
end

local function watch(self)
    while true do
        self.pending = self.pending or self.schedule:wait()
        local is_ours = is_mine(self, self.pending)
        self.pending = nil
        if is_ours then
            tick(self)
        end
    end
end

local function start_clock(self)
    local current
    current = run.start({
        app = self.app_name, label = self.label .. " (clock)",
        on_end = function(state)
            if self.clock == current then
                self.clock = nil
            end
            if state == "failed" then
                log.error(self.label .. " stands still: its clock has failed", { app = self.app_name })
            end
        end,
    }, 0, nil, watch, self)
    self.clock = current
end

local function stop_clock(self, reason)
    if self.clock then
        run.cancel(self.clock, reason)
        self.clock = nil
    end
    self.queued = 0
end

---No tick comes any more; a run that is under way goes on to its end. Harmless when it is stopped.
---@return moonloop.Timer
function methods:stop()
    self.is_stopped = true
    self.pending = nil
    stop_clock(self, "the timer was stopped")
    if self.once then
        self.once:release()
    end
    return self
end

---Ticks come again, counted from now. Harmless when it is not stopped. Raises `closed` on a handle of code that was
---replaced: its timer goes on with the new code.
---@return moonloop.Timer
function methods:start()
    if self.has_left then
        errors.raise("closed", "the code of the timer %s was replaced; the new code has a handle of its own", self.name)
    end
    if self.is_stopped then
        self.is_stopped = false
        if self.key then
            self.schedule:start(self.once and self.once:anchor(self.schedule))
            start_clock(self)
        end
    end
    return self
end

-- ---- generations ----

---Its code takes over. `saved`: where the timer of that name stood in the generation before.
---@param app { name: string, limit: integer }
---@param key string
---@param saved? table
function methods:begin(app, key, saved)
    self.app_name, self.limit, self.key = app.name, app.limit, key
    if saved then
        self.runs, self.failures, self.skipped = saved.runs, saved.failures, saved.skipped
        self.last_run, self.last_error = saved.last_run, run.restored(saved.last_error)
        self.is_stopped, self.queued, self.pending = saved.is_stopped, saved.queued, saved.pending
        self.schedule:restore(saved.schedule)
    elseif not self.is_stopped then
        self.schedule:start(self.once and self.once:anchor(self.schedule))
    end
    if self.once then
        self.once:begin(key)
    end
    if not self.is_stopped then
        start_clock(self)
        if self.queued > 0 then
            pump(self)
        end
    end
end

---What the next generation goes on with.
---@return table plain
function methods:save()
    return {
        runs = self.runs, failures = self.failures, skipped = self.skipped, last_run = self.last_run,
        last_error = run.plain(self.last_error), is_stopped = self.is_stopped, queued = self.queued,
        pending = self.pending, schedule = self.schedule:save(),
    }
end

---No tick comes any more, for good: the worker or this code is leaving. Runs go on.
function methods:quiesce()
    self.has_left = true
    stop_clock(self, "its code is leaving")
    if self.once then
        self.once:release()
    end
end

methods.leave = methods.quiesce

---@return moonloop.Activity
function methods:row()
    local detail = self.last_error and "last error: " .. errors.message(self.last_error):match("[^\n]*") or nil
    return {
        kind = self.kind, name = self.name, app = self.app_name, state = self.state, runs = self.runs,
        since = self.since, next_run = self.next_run, detail = detail,
    }
end

return M
