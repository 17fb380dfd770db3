--- Timers: what app:every and app:cron give. A clock task waits for the ticks of a schedule and starts a run for
--- each; the runs are tasks of their own, so a slow one delays no tick.

local core = require("moonloop.core.job")
local clock = require("moonloop.clock")
local errors = require("moonloop.util.errors")
local handle = require("moonloop.background.handle")
local log = require("moonloop.log")
local run = require("moonloop.background.run")
local task = require("moonloop.task")

local M = {}

local FIRST_PAUSE, LONGEST_PAUSE = 0.01, 1 -- seconds from one question to the next: whose is the tick?

local methods, getters = { row = handle.row }, {}

---@class moonloop.Timer
---@field kind "every"|"cron"
---@field name string
---@field state string "waiting" for a tick, "running", "stopped", "elsewhere": another worker has it
---@field runs integer how often it has begun, in this worker; with once = "server", in all
---@field failures integer
---@field skipped integer ticks that came while a run was under way, with overlap = "skip"
---@field queued integer ticks that wait for their turn, with overlap = "queue"
---@field last_run? number Unix seconds
---@field last_error? any what the last run that failed raised; an error object where that was possible
---@field next_run? number Unix seconds; nil while it is stopped
---@field stop fun(self: moonloop.Timer): moonloop.Timer
---@field start fun(self: moonloop.Timer): moonloop.Timer
local Timer = handle.class("moonloop.Timer", methods, getters)

---@param given { kind: string, name: string, label: string, fn: function, overlap: string, queue: integer,
---  schedule: table, once?: moonloop.background.Once, source: string }
---@return moonloop.Timer
function M.new(given)
    return handle.new(Timer, {
        notes = { runs = 0, failures = 0, skipped = 0 }, queued = 0, is_halted = false,
    }, given)
end

---What is noted of its runs: for all workers where only one of them runs it.
local function note(self, name)
    if self.once and self.key then
        return self.once:get(name)
    end
    return self.notes[name]
end

local function set_note(self, name, value)
    if self.once then
        self.once:note(name, value)
    end
    self.notes[name] = value
end

local function count(self, name)
    if self.once then
        self.once:count(name)
    end
    self.notes[name] = self.notes[name] + 1
end

for _, name in ipairs({ "runs", "failures", "skipped" }) do
    getters[name] = function(self) return note(self, name) or 0 end
end

function getters.last_run(self)
    return note(self, "last_run")
end

function getters.last_error(self)
    return run.restored(note(self, "last_error"))
end

local function is_stopped(self)
    if self.once and self.key then
        return self.once:get("is_stopped") or false
    end
    return self.is_halted
end

function getters.state(self)
    if not self.key then
        return "waiting" -- until its code takes over
    elseif core.count(self.key) > 0 then
        return "running"
    elseif is_stopped(self) then
        return "stopped"
    elseif self.once and not self.once.is_held then
        return "elsewhere"
    end
    return "waiting"
end

function getters.next_run(self)
    return self.clock and not is_stopped(self) and self.schedule:next_run() or nil
end

-- ---- runs ----

local pump

local function on_run_end(self, state, err)
    self.since = nil
    if state ~= "done" then
        count(self, "failures")
        set_note(self, "last_error", run.plain(err))
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
        count(self, "skipped")
        log.warn(("a tick of %s is left out: %s"):format(self.label, errors.message(err)))
        return
    end
    self.since = clock.wall()
    count(self, "runs")
    set_note(self, "last_run", self.since)
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
    run.help(self.app_name, self.label, function() self.is_pumping = false end, function()
        while self.queued > 0 and self.clock do
            if core.count(self.key) == 0 then
                self.queued = self.queued - 1
                start_run(self)
            end
            errors.settle(core.wait(self.key))
        end
    end)
end

---A tick that found a run under way.
local function skip(self, reason)
    count(self, "skipped")
    if self.warned ~= self.notes.runs then -- once for each run that takes so long
        self.warned = self.notes.runs
        log.warn(("a tick of %s is left out: %s"):format(self.label, reason))
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
local function is_mine(self, stamp, term)
    if not self.once then
        return true
    end
    local pause = FIRST_PAUSE
    while true do
        local verdict = self.once:claim(stamp, self.schedule)
        local left = self.schedule:left()
        if verdict ~= "held" or left <= 0 then
            return verdict == "mine"
        end
        task.sleep(math.min(pause, left))
        if self.term ~= term then
            return false
        end
        pause = math.min(pause * 2, LONGEST_PAUSE)
    end
end

---Ends also when the timer is stopped in the moment of a tick: a wait that is over cannot be cancelled any more.
local function watch(self, term)
    while true do
        local stamp = self.pending or self.schedule:wait()
        if self.term ~= term then
            return
        end
        self.pending = stamp
        local is_ours = is_mine(self, stamp, term)
        if self.term ~= term then
            return
        end
        self.pending = nil
        if is_ours then
            tick(self)
        end
    end
end

local function start_clock(self)
    local current
    self.term = {}
    current = run.help(self.app_name, self.label, function(state)
        if self.clock == current then
            self.clock = nil
        end
        if state == "failed" then
            log.error(self.label .. " stands still: its clock has failed", { app = self.app_name })
        end
    end, watch, self, self.term)
    self.clock = current
end

local function stop_clock(self, reason)
    if self.clock then
        run.cancel(self.clock, reason)
        self.clock, self.term = nil, nil
    end
    self.queued = 0
end

local function start_schedule(self)
    if self.once then
        self.schedule:start(self.once:anchor(self.schedule))
    else
        self.schedule:start()
    end
end

---No tick comes any more; a run that is under way goes on to its end. With once = "server" in no worker, else in
---this one. Harmless when it is stopped.
---@return moonloop.Timer
function methods:stop()
    if self.once and self.key then
        self.once:set("is_stopped", true)
        return self
    end
    self.is_halted, self.pending = true, nil
    stop_clock(self, "the timer was stopped")
    return self
end

---Ticks come again, counted from now. Harmless when it is not stopped. Raises `closed` on a handle of code that was
---replaced: its timer goes on with the new code.
---@return moonloop.Timer
function methods:start()
    if self.once and self.key then
        self.once:set("is_stopped", nil)
    elseif self.has_left then
        errors.raise("closed", "the timer %s does not start: its code was replaced, which has a handle of its own now, "
            .. "or its worker is leaving", self.name)
    elseif self.is_halted then
        self.is_halted = false
        if self.key then
            start_schedule(self)
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
    if self.once then
        self.once:begin(key, saved and saved.token)
    end
    if saved then
        self.notes, self.is_halted = saved.notes, saved.is_halted
        self.queued, self.pending = saved.queued, saved.pending
    end
    local schedule = saved and saved.schedule
    if schedule and (not self.once or self.schedule:is_same(schedule)) then -- else the workers agree anew
        self.schedule:restore(schedule)
    else
        start_schedule(self)
    end
    if self.is_halted and not self.once then
        return
    end
    start_clock(self)
    if self.queued > 0 then
        pump(self)
    end
end

---What the next generation goes on with.
---@return table plain
function methods:save()
    return {
        notes = self.notes, is_halted = self.is_halted, queued = self.queued, pending = self.pending,
        schedule = self.schedule:save(), token = self.once and self.once:hand_over(),
    }
end

---No tick comes any more, for good: the worker or this code is leaving. Runs go on.
function methods:quiesce()
    self.has_left = true
    stop_clock(self, "its code is leaving")
    if self.once and self.key then
        self.once:release()
    end
end

methods.leave = methods.quiesce

handle.finish(Timer, "timer", methods)

return M
