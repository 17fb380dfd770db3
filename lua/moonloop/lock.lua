--- Locks between workers, threads and processes: `moonloop.lock(name, { ttl = 30 })`.
---
--- A lock is a lease in the shared dictionary: whoever has it has it until he gives it back, until his lease
--- ends, or until his process ends. Of the tasks of one VM that wait for a name, one asks for it again and again, a
--- little longer apart each time; the others queue behind it, first come, first served.

local activity = require("moonloop.activity")
local core = require("moonloop.core.lease")
local errors = require("moonloop.util.errors")
local handle = require("moonloop.util.handle")
local task = require("moonloop.task")
local wait_queue = require("moonloop.core.wait_queue")
local waiting = require("moonloop.sync.waiting")

local DEFAULT_TTL = 30
local LONGEST_TTL = 31622400 -- a year
local NAME_BYTES = 400
local FIRST_PAUSE, LONGEST_PAUSE = 0.001, 0.02 -- seconds
local FORGOTTEN_AT = 1000 -- leases that nobody gave back, before those that have ended are looked for

local M = {}

---@class moonloop.lock.Held
---@field token integer
---@field task integer
---@field ends number monotonic seconds

--- By name: what this VM has taken and not given back.
---@type table<string, moonloop.lock.Held>
local held, nheld = {}, 0

---@class moonloop.lock.Line tasks of this VM that want one name
---@field asking moonloop.core.WaitQueue the one that asks waits here from one time to the next
---@field turns moonloop.core.WaitQueue the others, for their turn to ask
---@field turns_view moonloop.sync.View

--- By name; there while somebody asks.
---@type table<string, moonloop.lock.Line>
local lines = {}

---@class moonloop.Lock
---@field name string
---@field token? integer while the running task has it: greater than that of every earlier holder
---@field private ttl number
local Lock = { __name = "moonloop.Lock" }

local methods = {}

local function check_ttl(what, ttl)
    if type(ttl) ~= "number" or not (ttl > 0 and ttl <= LONGEST_TTL) then
        error(("%s: expected more than 0 and at most %d seconds, got %s"):format(what, LONGEST_TTL, tostring(ttl)), 3)
    end
    return ttl
end

---For transfer.lua: there it is the same lock.
function Lock:__transfer()
    return "moonloop.lock", "lock", self.name, { ttl = self.ttl }
end

function Lock.__index(self, key)
    if key == "token" then
        local mine = held[self.name]
        return mine and mine.task == (core.task() or 0) and mine.token or nil
    end
    return methods[key]
end

local function forget_ended()
    local now = task.now()
    for name, lease in pairs(held) do
        if lease.ends < now then
            held[name], nheld = nil, nheld - 1
        end
    end
end

---@return boolean is_taken
---@return number? left seconds of the lease of whoever has it
local function take(self)
    local mine = held[self.name]
    local me = core.task() or 0
    if mine and mine.task == me and mine.ends > task.now() then
        errors.raise("deadlock", "lock %q: this task has it already: it would wait for itself", self.name)
    end
    local token, _, left = core.take(self.name, self.ttl)
    if not token then
        return false, left
    end
    nheld = mine and nheld or nheld + 1
    held[self.name] = { token = token, task = me, ends = task.now() + self.ttl }
    if nheld > FORGOTTEN_AT then
        forget_ended()
    end
    return true
end

---Takes it if nobody has it. Raises `deadlock` when the running task has it already.
---@return boolean is_taken
function methods:try_acquire()
    return (take(self))
end

local function ask(self, line)
    local pause = FIRST_PAUSE
    while true do
        local is_taken, left = take(self)
        if is_taken then
            return
        end
        local seconds = math.min(pause * (0.5 + math.random()), math.max(left, 0) + FIRST_PAUSE)
        local ok, err = wait_queue.wait(line.asking, nil, seconds)
        if not ok and err ~= nil then
            error(err, 0)
        end
        pause = math.min(pause * 2, LONGEST_PAUSE)
    end
end

---Becomes the one who asks, now or in its turn.
local function join(name)
    local line = lines[name]
    if line then
        local ok, err = wait_queue.wait(line.turns, 1)
        if not ok then
            error(err, 0)
        end
        return line
    end
    line = { asking = wait_queue.new("lock " .. name, 1) }
    line.turns, line.turns_view = waiting.queue("lock " .. name, waiting.QUEUE)
    lines[name] = line
    return line
end

---Waits until it is free and takes it. Raises `cancelled` or `timeout` when the scope ends first, `deadlock` when the
---running task has it already, `full` when 10000 tasks of this VM wait for it.
function methods:acquire()
    if not lines[self.name] and take(self) then
        return
    end
    local mine = held[self.name]
    if mine and mine.task == core.task() then
        take(self) -- raises, unless the lease has ended
        return
    end
    local line = join(self.name)
    local ok, err = pcall(ask, self, line)
    if not wait_queue.wake(line.turns, true) then
        lines[self.name] = nil
    end
    if not ok then
        error(err, 0)
    end
end

local function own_lease(self)
    local mine = held[self.name]
    return mine and mine.task == (core.task() or 0) and mine or nil
end

local function drop(self)
    held[self.name], nheld = nil, nheld - 1
end

---Gives it back. Never waits.
---@return boolean was_held false: the running task does not have it, or its lease had ended
function methods:release()
    local mine = own_lease(self)
    if not mine then
        return false
    end
    drop(self)
    local was_held = core.release(self.name, mine.token)
    if lines[self.name] then
        wait_queue.wake(lines[self.name].asking, true)
    end
    return was_held
end

---Begins the lease anew. Raises `lost` when the running task does not have it any more.
---@param ttl? number seconds from now; what the lock was made with
function methods:renew(ttl)
    local mine = own_lease(self)
    ttl = ttl == nil and self.ttl or check_ttl("renew: ttl", ttl)
    if not mine or not core.renew(self.name, mine.token, ttl) then
        if mine then
            drop(self)
        end
        errors.raise("lost", "lock %q: the lease has ended: others may have it", self.name)
    end
    mine.ends = task.now() + ttl
end

local function pack(...)
    return { n = select("#", ...), ... }
end

---Runs in the frame that raised.
local function on_error(err)
    return errors.is(err) and err or errors.wrap(err, (debug.traceback("", 2):gsub("^\n", "")))
end

---Runs `fn(...)` while it has the lock, waiting for it first. Gives it back in every case: an error, a deadline, a
---cancelled task. Raises `lost` when `fn` ended well but the lease ended before.
---@param fn function
---@param ... any
---@return any ... what `fn` returns
function methods:with(fn, ...)
    if type(fn) ~= "function" then
        error("with: expected a function, got " .. type(fn), 2)
    end
    self:acquire()
    local results = pack(xpcall(fn, on_error, ...))
    local was_held = self:release()
    if not results[1] then
        error(results[2], 0)
    elseif not was_held then
        errors.raise("lost", "lock %q: the lease ended before the function did: others may have run", self.name)
    end
    return unpack(results, 2, results.n)
end

---Who has it now, in any process.
---@return { pid: integer, token: integer, left: number }? holder nil: it is free
function methods:holder()
    local token, pid, left = core.look(self.name)
    return token and { token = token, pid = pid, left = left } or nil
end

---A lock by its name: the same one in every worker, thread and process of the server.
---@param name string 1 to 400 bytes
---@param options? { ttl?: number } seconds that a holder has it at most, unless he renews it; 30
---@return moonloop.Lock
function M.lock(name, options)
    if type(name) ~= "string" or #name < 1 or #name > NAME_BYTES then
        error(("lock: expected a name of 1 to %d bytes, got %s"):format(NAME_BYTES,
            type(name) == "string" and ("one of " .. #name) or type(name)), 2)
    end
    local ttl = waiting.options("lock", options, { "ttl" }).ttl
    ttl = ttl == nil and DEFAULT_TTL or check_ttl("lock: ttl", ttl)
    return setmetatable({ name = name, ttl = ttl }, Lock)
end

activity.register("lock", function()
    local rows, now = {}, task.now()
    for name, lease in pairs(held) do
        local left = lease.ends - now
        local line = lines[name]
        rows[#rows + 1] = {
            kind = "lock", name = name, state = left > 0 and "held" or "lost",
            detail = ("lease ends in %.1f s"):format(math.max(left, 0))
                .. (line and (", %d wait"):format(line.turns_view.length + 1) or ""),
        }
    end
    for name, line in pairs(lines) do
        if not held[name] then
            rows[#rows + 1] = { kind = "lock", name = name, state = "waiting",
                detail = ("%d wait"):format(line.turns_view.length + 1) }
        end
    end
    return rows
end)

handle.finish(Lock, "lock", function(self)
    return handle.text("lock " .. self.name, self.token and "held by this task")
end, methods)

return M
