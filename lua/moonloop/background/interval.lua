--- When the ticks of app:every are due: at a fixed rate on the monotonic clock, so that neither the length of a run
--- nor a change of the time of day moves them. A tick that comes late moves none of the next; ticks that were
--- missed altogether (the loop stood still) come as one.

local chance = require("moonloop.sync.chance")
local clock = require("moonloop.clock")
local task = require("moonloop.task")

local M = {}

local LONGEST_SLEEP = 86400 -- seconds

---@class moonloop.background.Interval
---@field seconds number from tick to tick
---@field jitter number each tick comes up to so many seconds later
---@field immediately boolean
---@field anchor number where the grid of ticks begins, on clock.now()
---@field number integer of the next tick of that grid: so that all workers find the same time for it, to the last bit
local Interval = { __name = "moonloop.background.Interval" }
Interval.__index = Interval

---@param seconds number
---@param jitter number seconds
---@param immediately boolean the first tick is at once, not after the first interval
---@return moonloop.background.Interval
function M.new(seconds, jitter, immediately)
    return setmetatable({ seconds = seconds, jitter = jitter, immediately = immediately }, Interval)
end

---Counts from now. `anchor`: where a grid begins that several workers share.
---@param anchor? number on clock.now()
---@param is_first? boolean this worker is the first of them
function Interval:start(anchor, is_first)
    local now = clock.now()
    self.anchor = anchor or now
    if self.immediately and (is_first or not anchor) then
        self.number = 0
    else
        self.number = math.floor((now - self.anchor) / self.seconds) + 1
    end
end

---@return number time when the next tick is due, on clock.now()
function Interval:due()
    return self.anchor + self.number * self.seconds
end

---Waits for the next tick.
---@return number stamp when it was due: the same in each worker that shares the grid
function Interval:wait()
    local stamp = self:due()
    local target = stamp + self.jitter * chance.fraction()
    local now = clock.now()
    while now < target do
        task.sleep(math.min(target - now, LONGEST_SLEEP))
        now = clock.now()
    end
    self.number = self.number + math.max(1, math.floor((now - stamp - self.jitter) / self.seconds) + 1)
    return stamp
end

---@return number seconds till the next tick, without its jitter; negative when it is late
function Interval:left()
    return self:due() - clock.now()
end

---@return number time Unix seconds
function Interval:next_run()
    return clock.wall() + self:left()
end

---Whether a tick of the past is so far in the future that it must be of another life of the machine.
---@param stamp number
---@return boolean
function Interval:is_alien(stamp)
    return stamp > clock.now() + self.seconds + self.jitter
end

---@return table? saved nil: it has not been started
function Interval:save()
    return self.anchor and { anchor = self.anchor, number = self.number, seconds = self.seconds }
end

---Whether a saved one has the same ticks.
---@param saved table
---@return boolean
function Interval:is_same(saved)
    return saved.seconds == self.seconds
end

---Goes on where the same timer stood in the generation before. With another interval the last tick counts.
---@param saved table
function Interval:restore(saved)
    self.anchor, self.number = saved.anchor, saved.number
    if saved.seconds ~= self.seconds then
        local last = saved.anchor + (saved.number - 1) * saved.seconds
        self.anchor, self.number = math.max(clock.now(), last + self.seconds), 0
    end
end

return M
