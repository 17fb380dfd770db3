--- once = "server": one worker of all runs it. That worker has a lease on its name, which ends with the process, and
--- what has been done is written down where all workers see it: so the one who takes over neither repeats a tick
--- nor leaves one out.

local clock = require("moonloop.clock")
local errors = require("moonloop.util.errors")
local lease = require("moonloop.core.lease")
local log = require("moonloop.log")
local task = require("moonloop.task")

local M = {}

local LEASE = 86400 * 30 -- seconds; it is renewed with each tick and ends with its process
local LOOK = 1 -- seconds from one question to the next of those who wait for it

---@class moonloop.background.Once
---@field is_held boolean this worker has it
---@field private key string
---@field private token? number of the lease
---@field private running integer runs of this worker under way
---@field private is_leaving boolean gives it back once no run is under way
local Once = { __name = "moonloop.background.Once" }
Once.__index = Once

local function store()
    return require("moonloop.shared").shared("moonloop.background", { evict = false })
end

---@return moonloop.background.Once
function M.new()
    return setmetatable({ running = 0, is_held = false, is_leaving = false }, Once)
end

---@param key string
---@param token? number of the lease that the generation before has left
function Once:begin(key, token)
    self.key, self.token, self.is_held = key, token, token ~= nil
end

local function take(self)
    if self.token and not lease.renew(self.key, self.token, LEASE) then
        self.token = nil
    end
    self.token = self.token or lease.take(self.key, LEASE)
    self.is_held = self.token ~= nil
    return self.is_held
end

local function give_back(self)
    if self.token then
        lease.release(self.key, self.token)
    end
    self.token, self.is_held = nil, false
end

---Which value of the job's notes, or nil.
---@param name string "runs", "failures", "skipped", "last_run", "last_error", "is_stopped"
---@return any
function Once:get(name)
    return self.key and store():get(self.key .. "\1" .. name)
end

---Raises when the dictionary is full.
---@param name string
---@param value any
function Once:set(name, value)
    store():set(self.key .. "\1" .. name, value)
end

---What a run leaves behind: it does not fail because that cannot be written down.
local function guarded(fn, ...)
    local ok, err = pcall(fn, ...)
    if not ok then
        log.error("what has run cannot be written down: " .. errors.message(err))
    end
end

---@param name string
---@param value any
function Once:note(name, value)
    guarded(self.set, self, name, value)
end

---@param name string
function Once:count(name)
    guarded(function() store():incr(self.key .. "\1" .. name) end)
end

---Where the grid of an interval's ticks begins, the same for all workers. Nil for times of day, which are a grid.
---@param schedule table
---@return number? anchor on clock.now()
---@return boolean? is_first nobody has asked before
function Once:anchor(schedule)
    if not schedule.seconds then
        return nil
    end
    local key = ("%s\1anchor\1%g"):format(self.key, schedule.seconds)
    local now = clock.now()
    local is_first = store():add(key, now)
    return store():get(key, now), is_first
end

local function claim(self, stamp, schedule)
    local is_ours = take(self)
    local last = self:get("last")
    if self:get("is_stopped") or (last and last >= stamp and not schedule:is_alien(last)) then
        return "done"
    elseif not is_ours then
        return "held"
    end
    self:set("last", stamp)
    return "mine"
end

---Whose a tick is: "mine", to be run here; "done": it has been taken, or the timer is stopped; "held": another worker
---has the lease and has not taken the tick yet.
---@param stamp number
---@param schedule table
---@return "mine"|"done"|"held"
function Once:claim(stamp, schedule)
    local ok, verdict = pcall(claim, self, stamp, schedule)
    if ok then
        return verdict
    end
    log.error(("whose turn it is cannot be told: %s"):format(errors.message(verdict)))
    return "held"
end

---Waits until this worker has the lease.
function Once:wait()
    while true do
        local ok, is_ours = pcall(take, self)
        if ok and is_ours then
            return
        end
        task.sleep(LOOK)
    end
end

function Once:run_began()
    self.running = self.running + 1
end

function Once:run_ended()
    self.running = self.running - 1
    if self.is_leaving and self.running == 0 then
        give_back(self)
    end
end

---Another worker may have it, as soon as no run of this one is under way.
function Once:release()
    self.is_leaving = true
    if self.running == 0 then
        give_back(self)
    end
end

---The lease, for the generation that comes: it goes from one to the other without a moment between.
---@return number? token
function Once:hand_over()
    local token = self.token
    self.token, self.is_held = nil, false
    return token
end

---Gives back the lease of a job that the new code does not have any more.
---@param key string
---@param token number
function M.drop(key, token)
    lease.release(key, token)
end

return M
