--- Locks between workers, threads and processes: `moonloop.lock(name, { ttl = 30 })`.
---
--- A lock is a lease in the shared dictionary: whoever has it has it until he gives it back, until his lease
--- ends, or until his process ends. Waiting is asking again after a while, a little longer each time; the tasks of
--- one VM queue, and only the first of them asks.

local core = require("moonloop.core.lease")
local errors = require("moonloop.util.errors")
local suggest = require("moonloop.cli.suggest")
local task = require("moonloop.task")

local DEFAULT_TTL = 30
local LONGEST_TTL = 31622400 -- a year
local NAME_BYTES = 400
local FIRST_PAUSE, LONGEST_PAUSE = 0.001, 0.02 -- seconds
local FORGOTTEN_AT = 1000 -- leases that nobody gave back, before those that have ended are looked for

local M = {}

--- By name: what this VM has taken and not given back.
---@type table<string, { token: integer, task: integer, ends: number }>
local held, nheld = {}, 0

--- By name: tickets of the tasks that wait, first come first.
---@type table<string, table[]>
local queues = {}

---@class moonloop.Lock
---@field name string
---@field token? integer while the running task has it: greater than that of every earlier holder
---@field private ttl number
local Lock = { __name = "moonloop.Lock" }

local methods = {}

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

---@return integer? token
---@return integer pid of the holder
---@return number left seconds
local function take(self)
    local mine = held[self.name]
    local me = core.task() or 0
    if mine and mine.task == me and mine.ends > task.now() then
        errors.raise("deadlock", "lock %q: this task has it already: it would wait for itself", self.name)
    end
    local token, pid, left = core.take(self.name, self.ttl)
    if token then
        if not mine then
            nheld = nheld + 1
        end
        held[self.name] = { token = token, task = me, ends = task.now() + self.ttl }
        if nheld > FORGOTTEN_AT then
            forget_ended()
        end
    end
    return token, pid, left
end

---Takes it if nobody has it. Raises `deadlock` when the running task has it already.
---@return boolean is_taken
function methods:try_acquire()
    local queue = queues[self.name]
    if queue and queue[1] then
        return false -- others of this VM are before us
    end
    return take(self) ~= nil
end

local function leave_queue(name, ticket)
    local queue = queues[name]
    for i, each in ipairs(queue) do
        if each == ticket then
            table.remove(queue, i)
            break
        end
    end
    if not queue[1] then
        queues[name] = nil
    end
end

local function wait_for_turn(self, ticket)
    local pause = FIRST_PAUSE
    while true do
        local left = LONGEST_PAUSE
        if queues[self.name][1] == ticket then
            local token, _, remaining = take(self)
            if token then
                return
            end
            left = math.max(remaining, 0)
        end
        task.sleep(math.min(pause * (0.5 + math.random()), left + FIRST_PAUSE))
        pause = math.min(pause * 2, LONGEST_PAUSE)
    end
end

---Waits until it is free and takes it. Raises `cancelled` or `timeout` when the scope ends first, `deadlock` when the
---running task has it already.
function methods:acquire()
    if not queues[self.name] and take(self) then
        return
    end
    local mine = held[self.name]
    if mine and mine.task == core.task() and mine.ends > task.now() then
        take(self) -- which raises
    end
    local ticket = {}
    queues[self.name] = queues[self.name] or {}
    table.insert(queues[self.name], ticket)
    local ok, err = pcall(wait_for_turn, self, ticket)
    leave_queue(self.name, ticket)
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
    return core.release(self.name, mine.token)
end

---Begins the lease anew. Raises `lost` when the running task does not have it any more.
---@param ttl? number seconds from now; what the lock was made with
function methods:renew(ttl)
    local mine = own_lease(self)
    if ttl ~= nil then
        M.check_ttl("renew", ttl)
    end
    ttl = ttl or self.ttl
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

---Not for users.
function M.check_ttl(what, ttl)
    if type(ttl) ~= "number" or not (ttl > 0 and ttl <= LONGEST_TTL) then
        error(("%s: expected a ttl of more than 0 and at most %d seconds, got %s"):format(what, LONGEST_TTL,
            tostring(ttl)), 3)
    end
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
    for key in pairs(options or {}) do
        if key ~= "ttl" then
            error("lock: unknown option " .. tostring(key) .. suggest.hint(tostring(key), { "ttl" }), 2)
        end
    end
    local ttl = options and options.ttl or DEFAULT_TTL
    M.check_ttl("lock", ttl)
    return setmetatable({ name = name, ttl = ttl }, Lock)
end

return M
