--- When the ticks of app:cron are due: at times of day in a zone. The clock on the wall may be set meanwhile, so
--- nobody waits for long without a look at it.

local chance = require("moonloop.sync.chance")
local clock = require("moonloop.clock")
local log = require("moonloop.log")
local task = require("moonloop.task")

local M = {}

local LOOK = 30 -- seconds: a clock that was set is noticed within
local SET = 5 -- seconds: less is the slewing of NTP
local CORRECTION = 3 * 3600 -- seconds: so much is no summer time, the clock was wrong before

---@class moonloop.background.Calendar
---@field cron moonloop.Cron
---@field zone moonloop.Zone
---@field jitter number seconds
---@field due number Unix seconds
---@field private skew number clock.wall() - clock.now() when it was looked at last
local Calendar = { __name = "moonloop.background.Calendar" }
Calendar.__index = Calendar

---@param cron moonloop.Cron
---@param zone moonloop.Zone
---@param jitter number seconds
---@return moonloop.background.Calendar
function M.new(cron, zone, jitter)
    return setmetatable({ cron = cron, zone = zone, jitter = jitter }, Calendar)
end

local function skew()
    return clock.wall() - clock.now()
end

---The first tick after `time`. The checks at load have seen that there is one within 40 years.
local function next_after(self, time)
    return self.cron:next(time, self.zone) or math.huge
end

---Counts from now.
function Calendar:start()
    self.due = next_after(self, clock.wall())
    self.skew = skew()
end

---The clock was set: forward by less than three hours, what was left out runs now, once; back by as much, what
---has run does not run again, except for intervals. By more: the new time counts.
local function look(self)
    local change = skew() - self.skew
    if math.abs(change) < SET then
        return
    end
    self.skew = self.skew + change
    local is_correction = math.abs(change) >= CORRECTION
    if is_correction or (change < 0 and not self.cron.is_fixed) then
        self.due = next_after(self, clock.wall())
    end
    log.info(("the clock was set by %+.0f s; the next run of cron %s is at %s (%s)"):format(change, self.cron.line,
        self.zone:text(self.due), self.zone.name))
end

---Waits for the next tick.
---@return number stamp Unix seconds of when it was due
function Calendar:wait()
    local delay = self.jitter * chance.fraction()
    while true do
        local left = self.due + delay - clock.wall()
        if left <= 0 then
            break
        end
        task.sleep(math.min(left, LOOK))
        look(self)
    end
    local stamp = self.due
    self.due = next_after(self, math.max(stamp, clock.wall()))
    return stamp
end

---@return number seconds till the next tick, without its jitter; negative when it is late
function Calendar:left()
    return self.due - clock.wall()
end

---@return number time Unix seconds
function Calendar:next_run()
    return self.due
end

---Whether a tick of the past counts no more because the clock has been set back since: see `look`.
---@param stamp number
---@return boolean
function Calendar:is_alien(stamp)
    return stamp > clock.wall() + (self.cron.is_fixed and CORRECTION or SET)
end

---@return table? saved nil: it has not been started
function Calendar:save()
    return self.due and { due = self.due, skew = self.skew, line = self.cron.line, zone = self.zone.name }
end

---Whether a saved one has the same ticks.
---@param saved table
---@return boolean
function Calendar:is_same(saved)
    return saved.line == self.cron.line and saved.zone == self.zone.name
end

---Goes on where the same timer stood in the generation before; another line counts from now.
---@param saved table
function Calendar:restore(saved)
    if self:is_same(saved) then
        self.due, self.skew = saved.due, saved.skew
    else
        self:start()
    end
end

return M
