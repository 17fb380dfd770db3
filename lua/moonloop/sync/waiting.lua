--- What the things of moonloop.sync share: queues of waiting tasks, and the checks of what a caller gives.

local activity = require("moonloop.activity")
local core = require("moonloop.core.wait_queue")
local errors = require("moonloop.util.errors")
local ffi = require("ffi")
local handle = require("moonloop.util.handle")

local M = {}

--- How many tasks may wait for one thing unless the option `queue` says otherwise.
M.QUEUE = 10000

local VIEW = ffi.typeof("const struct { uint32_t length, limit; } *")

---@class moonloop.sync.View
---@field length integer how many tasks wait
---@field limit integer

---A queue, and its numbers to be read without a call. Whoever keeps the view has to keep the queue.
---@param name string for messages: "mutex accounts"
---@param limit integer
---@return moonloop.core.WaitQueue
---@return moonloop.sync.View
function M.queue(name, limit)
    local queue = core.new(name, limit)
    return queue, ffi.cast(VIEW, queue)
end

---What a caller's bug raises: `level` counts from the function that calls this one.
local function complain(level, format, ...)
    error(format:format(...), level + 2)
end

local function shown(value)
    return type(value) == "string" and ("%q"):format(value) or tostring(value)
end

---Refuses names that are not known.
---@param what string whose options they are
---@param options table?
---@param known string[]
---@param level? integer 1 (the default): blames the caller of the function that checks
---@return table options
function M.options(what, options, known, level)
    level = (level or 1) + 1
    if options == nil then
        return {}
    elseif type(options) ~= "table" or getmetatable(options) then
        complain(level, "%s: expected a table of options, got %s", what,
            type(options) == "table" and "an object" or shown(options))
    end
    for name in pairs(options) do
        local is_known = false
        for _, each in ipairs(known) do
            is_known = is_known or each == name
        end
        if not is_known then
            complain(level, "%s", require("moonloop.options").unknown(what, name, known))
        end
    end
    return options
end

---@param what string "semaphore: count"
---@param value any
---@param min integer
---@param max integer
---@param level? integer
---@return integer
function M.integer(what, value, min, max, level)
    if type(value) ~= "number" or not (value >= min and value <= max) or value % 1 ~= 0 then
        complain((level or 1) + 1, "%s: expected an integer from %d to %d, got %s", what, min, max, shown(value))
    end
    return value
end

---@param what string
---@param value any
---@param min number
---@param max number
---@param level? integer
---@return number
function M.number(what, value, min, max, level)
    if type(value) ~= "number" or not (value >= min and value <= max) then
        complain((level or 1) + 1, "%s: expected a number from %s to %s, got %s", what, min, max, shown(value))
    end
    return value
end

---@param what string
---@param fn any
---@param level? integer
---@return function
function M.callable(what, fn, level)
    if type(fn) ~= "function" then
        complain((level or 1) + 1, "%s: expected a function, got %s", what, shown(fn))
    end
    return fn
end

--- The largest count of anything: what fits the core's numbers.
M.MAX = 2147483647

---The options that every waiting thing has, checked.
---@param kind string "channel"
---@param options table
---@param level? integer
---@return string name "channel jobs"
---@return integer limit
function M.common(kind, options, level)
    level = (level or 1) + 1
    if options.name ~= nil and type(options.name) ~= "string" then
        complain(level, "%s: name: expected a string, got %s", kind, shown(options.name))
    end
    local limit = M.QUEUE
    if options.queue ~= nil then
        limit = M.integer(kind .. ": queue", options.queue, 1, M.MAX, level)
    end
    return options.name and kind .. " " .. options.name or kind, limit
end

-- Those that were given a name, for `moonloop ps`: object -> { kind, name }. Weak.
local shown_ones = setmetatable({}, { __mode = "k" })

---Has `moonloop ps` show an object, if it was given a name, while tasks wait for it or it holds something.
---@generic T
---@param object T with `waiting`, and `detail()`: what it holds, or nil
---@param kind string "channel"
---@param options { name?: string }?
---@return T object
function M.shown(object, kind, options)
    if options and options.name then
        shown_ones[object] = { kind = kind, name = options.name }
    end
    return object
end

activity.register("sync", function()
    local rows = {}
    for object, entry in pairs(shown_ones) do
        local count, detail = object.waiting, object:detail()
        if count > 0 or detail then
            local wait = count > 0 and count .. " wait" or nil
            rows[#rows + 1] = {
                kind = entry.kind, name = entry.name, state = wait and "waiting" or "held",
                detail = wait and detail and wait .. ", " .. detail or wait or detail,
            }
        end
    end
    return rows
end)

local function describe(self)
    local count = self.waiting or 0
    return handle.text(self.name, self:detail(), self.is_set and "set", count > 0 and ("%d wait"):format(count),
        self.is_closed and "closed")
end

---Completes a class of things with `name`, `waiting`, `detail()` and `is_closed`.
---@param class table
---@param what string "channel"
function M.finish(class, what)
    handle.finish(class, what, describe)
end

---@param name string
function M.raise_closed(name)
    errors.raise("closed", "the %s is closed", name)
end

---Notes where something is closed; the second time is a mistake.
---@param object table
---@param name string
function M.close_once(object, name)
    if object.closed_at then
        errors.raise("misuse", "the %s is closed twice; the first time was at %s", name, object.closed_at)
    end
    local info = debug.getinfo(3, "Sl")
    object.closed_at = info and info.currentline > 0 and info.short_src .. ":" .. info.currentline or "?"
    object.is_closed = true
end

local function give_back(release, object, ok, ...)
    release(object)
    if ok then
        return ...
    end
    error((...), 0)
end

---Runs `fn(...)`, then `release(object)` however that ends.
function M.run_with(release, object, fn, ...)
    return give_back(release, object, pcall(fn, ...))
end

return M
