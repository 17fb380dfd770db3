--- What app:background gives: one task with a name, which outlives the request that started it.
---
--- Declared while the file is loaded, it is a part of the app like a route: it runs from the moment its code takes
--- over until that code leaves, and is cancelled then. Started in a handler, it is work that somebody asked for: a
--- reload leaves it alone, a stop waits for it.

local core = require("moonloop.core.job")
local clock = require("moonloop.clock")
local errors = require("moonloop.util.errors")
local handle = require("moonloop.background.handle")
local run = require("moonloop.background.run")

local M = {}

local methods, getters = { row = handle.row }, {}

---@class moonloop.Background
---@field kind "background"
---@field name string
---@field state string "waiting" for its code, or for the one before it to end; "running", "done", "failed",
---  "stopped", "elsewhere": another worker has it
---@field runs integer how often it has begun, in this worker
---@field failures integer
---@field last_run? number Unix seconds
---@field last_error? any what it raised
---@field stop fun(self: moonloop.Background): moonloop.Background
---@field start fun(self: moonloop.Background): moonloop.Background
local Background = handle.class("moonloop.Background", methods, getters)

---@param given { name: string, fn: function, args: table, timeout?: number, is_declared: boolean,
---  once?: moonloop.background.Once, source: string }
---@return moonloop.Background
function M.new(given)
    return handle.new(Background, {
        kind = "background", label = "background " .. given.name, runs = 0, failures = 0, is_stopped = false,
        outcome = "waiting",
    }, given)
end

---A handle of one that the generation before started and that still runs.
---@param name string
---@param app_name string
---@param key string
---@return moonloop.Background
function M.of_before(name, app_name, key)
    local self = M.new({ name = name, is_declared = false })
    self.app_name, self.key, self.is_of_before, self.outcome, self.runs = app_name, key, true, "done", 1
    return self
end

function getters.state(self)
    if self.is_of_before then
        return core.count(self.key) > 0 and "running" or self.outcome
    elseif self.run then
        return "running"
    elseif self.is_stopped then
        return "stopped"
    elseif self.outcome == "waiting" and self.once and self.starter and not self.once.is_held then
        return "elsewhere"
    end
    return self.outcome
end

local function on_end(self, state, err)
    self.run, self.since, self.outcome = nil, nil, state
    if state == "failed" then
        self.failures, self.last_error = self.failures + 1, err
    elseif state == "cancelled" then
        self.outcome = "stopped"
    end
    if self.once then
        self.once:run_ended()
    end
    if self.on_gone then
        self.on_gone()
    end
end

local function start_run(self)
    local current = {
        app = self.app_name, label = self.label,
        on_end = function(state, err) on_end(self, state, err) end,
    }
    self.run = current
    local ok, err = pcall(run.start, current, self.is_declared and 0 or self.limit, self.key,
        run.bounded(self.timeout, self.fn, unpack(self.args, 1, self.args.n)))
    if not ok then
        self.run = nil
        error(err, 0)
    end
    self.runs, self.last_run, self.outcome = self.runs + 1, clock.wall(), "running"
    self.since = self.last_run
    if self.once then
        self.once:run_began()
    end
end

---Starts it once the one before it has ended and, with `once`, this worker has the lease.
local function start_when_free(self)
    if core.count(self.key) == 0 and not self.once then
        start_run(self)
        return
    end
    self.outcome = "waiting"
    local current
    current = run.help(self.app_name, self.label, function()
        if self.starter == current then
            self.starter = nil
        end
    end, function()
        if self.once then
            self.once:wait()
        end
        repeat
            errors.settle(core.wait(self.key))
        until core.count(self.key) == 0
        start_run(self)
    end)
    self.starter = current
end

local function stop(self, reason)
    if self.starter then
        run.cancel(self.starter, reason)
        self.starter = nil
    end
    if self.run then
        run.cancel(self.run, reason)
    elseif self.is_of_before then
        core.cancel(self.key, reason)
    end
end

---Asks it to end: its wait, and every later one, raises `cancelled`. Returns at once; harmless when it has ended.
---@return moonloop.Background
function methods:stop()
    self.is_stopped = true
    stop(self, "the background task was stopped")
    return self
end

---Runs it again, with the same function and arguments, as soon as the run before has ended. Harmless while it
---runs. Raises `closed` on a handle of code that was replaced.
---@return moonloop.Background
function methods:start()
    if self.has_left or self.is_of_before then
        errors.raise("closed", "the background task %s does not start: its code was replaced, which has a handle of "
            .. "its own now, or its worker is leaving", self.name)
    end
    local is_ending = self.is_stopped and self.run ~= nil
    self.is_stopped = false
    if self.key and not self.starter and (is_ending or not self.run) then
        start_when_free(self)
    end
    return self
end

-- ---- generations ----

---@param app { name: string, limit: integer }
---@param key string
---@param saved? table
function methods:begin(app, key, saved)
    self.app_name, self.limit, self.key = app.name, app.limit, key
    if saved then
        self.runs, self.failures, self.is_stopped = saved.runs, saved.failures, saved.is_stopped
        self.last_run, self.last_error = saved.last_run, run.restored(saved.last_error)
    end
    if self.once then
        self.once:begin(key, saved and saved.token)
    end
    if not self.is_stopped then
        start_when_free(self)
    end
end

---@return table plain
function methods:save()
    return {
        runs = self.runs, failures = self.failures, last_run = self.last_run, is_stopped = self.is_stopped,
        last_error = run.plain(self.last_error), token = self.once and self.once:hand_over(),
    }
end

---The worker is leaving: what has not begun will not.
function methods:quiesce()
    if self.is_declared and not self.key then
        self.has_left, self.is_stopped = true, true
    elseif self.is_declared and self.starter then
        run.cancel(self.starter, "the worker is leaving")
        self.starter = nil
    end
end

---Its code is leaving.
function methods:leave()
    self.has_left = true
    if self.is_declared then
        stop(self, "its code is leaving")
    end
    if self.once then
        self.once:release()
    end
end

handle.finish(Background, "background", methods)

return M
