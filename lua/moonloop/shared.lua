--- The dictionary that all workers and threads of a server share: `moonloop.shared(name)`.
---
--- Shape over moonloop.core.shared. Counters have a short way round the dictionary's lock: once this VM has
--- met one, it keeps where its number lies and adds to it by FFI (core/shared/dict_counter.h).

local core = require("moonloop.core.shared")
local errors = require("moonloop.util.errors")
local ffi = require("ffi")
local handles = require("moonloop.util.handle")
local is_same = require("moonloop.util.same").is_same
local serial = require("moonloop.util.serial")
local waiting = require("moonloop.sync.waiting")

ffi.cdef([[
struct dict_counter { struct dict_cell *cell; uint64_t serial; };
int dict_counter_add(const struct dict_counter *counter, double by, double *result);
int dict_counter_get(const struct dict_counter *counter, double *result);
]])

local C = ffi.C
local new_counter = ffi.typeof("struct dict_counter")
local sum = ffi.new("double[1]")
local type = type

local LONGEST_TTL = 3.2e9 -- a hundred years
local NAME_BYTES = 64
local KEYS_LIMIT = 10000
local KNOWN_COUNTERS = 4096 -- of one dictionary, in this VM

local M = {}

---@class moonloop.SharedDict
---@field name string
---@field private is_pinned boolean
---@field private counters table<string, ffi.cdata*>
---@field private ncounters integer
local SharedDict = { __name = "moonloop.SharedDict" }
SharedDict.__index = SharedDict

---For transfer.lua: there it is the same dictionary.
function SharedDict:__transfer()
    return "moonloop.shared", "shared", self.name, self.is_pinned and { evict = false } or nil
end

-- A number is the key that it is written as.
local function check_key(what, key)
    if type(key) == "string" then
        return key
    elseif type(key) == "number" then
        return tostring(key)
    end
    error(("%s: expected a string or a number as the key, got %s"):format(what, type(key)), 3)
end

local function check_ttl(what, ttl)
    if ttl ~= nil and not (type(ttl) == "number" and ttl > 0 and ttl <= LONGEST_TTL) then
        local shown = type(ttl) == "number" and tostring(ttl) or type(ttl)
        error(("%s: expected more than 0 and at most %.0f seconds, got %s"):format(what, LONGEST_TTL, shown), 3)
    end
    return ttl
end

---Bytes for a table, other values as they are.
---@return any value
---@return boolean is_table
local function pack_value(what, value)
    local kind = type(value)
    if kind == "table" then
        local ok, bytes = pcall(serial.encode, value)
        if not ok then
            error(("%s: the table cannot be kept: %s"):format(what, (tostring(bytes):gsub("^.-:%d+: ", ""))), 3)
        end
        return bytes, true
    elseif kind == "nil" or kind == "boolean" or kind == "number" or kind == "string" then
        return value, false
    end
    error(("%s: expected nil, a boolean, a number, a string or a table, got %s"):format(what, kind), 3)
end

local function unpack_value(value, is_table)
    if is_table then
        return serial.decode(value)
    end
    return value
end

---Keeps where a counter lies.
local function know(self, key, cell, cell_serial)
    if not self.counters[key] then
        if self.ncounters >= KNOWN_COUNTERS then
            self.counters, self.ncounters = {}, 0
        end
        self.ncounters = self.ncounters + 1
    end
    self.counters[key] = new_counter(ffi.cast("struct dict_cell *", cell), cell_serial)
end

local function get_slowly(self, key, default)
    local value, is_table, _, cell, cell_serial = core.get(self.name, key)
    if cell then
        know(self, key, cell, cell_serial)
    end
    if value == nil then
        return default
    end
    return unpack_value(value, is_table)
end

---The value, or `default` when there is none or it has expired.
---@param key string|number
---@param default? any
---@return any
function SharedDict:get(key, default)
    key = check_key("get", key)
    local counter = self.counters[key]
    if counter and C.dict_counter_get(counter, sum) == 0 then
        return sum[0]
    end
    return get_slowly(self, key, default)
end

---How long a value lives on.
---@param key string|number
---@return number? seconds nil when there is no value; math.huge when it does not expire
function SharedDict:ttl(key)
    local value, _, left = core.get(self.name, check_key("ttl", key))
    if value == nil then
        return nil
    end
    return left or math.huge
end

---Puts a value in the place of whatever there is. nil removes it.
---@param key string|number
---@param value nil|boolean|number|string|table tables are copied, nested ones too; metatables are not kept
---@param ttl? number seconds until it is gone; nil: for ever
function SharedDict:set(key, value, ttl)
    key = check_key("set", key)
    check_ttl("set", ttl)
    local packed, is_table = pack_value("set", value)
    if packed == nil then
        core.delete(self.name, key)
    else
        core.set(self.name, key, packed, is_table, ttl, self.is_pinned)
    end
end

---Puts a value where there is none.
---@param key string|number
---@param value boolean|number|string|table
---@param ttl? number seconds
---@return boolean is_added false: there was one
function SharedDict:add(key, value, ttl)
    key = check_key("add", key)
    check_ttl("add", ttl)
    local packed, is_table = pack_value("add", value)
    if packed == nil then
        error("add: expected a value, got nil", 2)
    end
    return core.add(self.name, key, packed, is_table, ttl, self.is_pinned)
end

local INCR_OPTIONS = { "ttl", "init" }

---@return number? ttl
---@return number init
local function incr_options(options)
    if type(options) ~= "table" then
        return check_ttl("incr", options), 0
    end
    waiting.options("incr", options, INCR_OPTIONS, 2)
    if options.init ~= nil and type(options.init) ~= "number" then
        error("incr: init: expected a number, got " .. type(options.init), 3)
    end
    return check_ttl("incr", options.ttl), options.init or 0
end

local function incr_slowly(self, key, by, options)
    local ttl, init = incr_options(options)
    local result, cell, cell_serial = core.incr(self.name, key, by, init, ttl, self.is_pinned)
    if cell then
        know(self, key, cell, cell_serial)
    end
    return result
end

---Adds to a number, which is 0 when there is none. No addition is lost, whoever adds at the same time.
---Raises `type` when there is something else than a number, `range` when the sum is not a number.
---@param key string|number
---@param by? number 1
---@param options? number|{ ttl?: number, init?: number } seconds that a number begun by this call lives (later
---  calls do not prolong it), and what it begins with instead of 0
---@return number sum
function SharedDict:incr(key, by, options)
    key = check_key("incr", key)
    if by == nil then
        by = 1
    elseif type(by) ~= "number" or by ~= by then
        error("incr: expected a number to add, got " .. tostring(by), 2)
    end
    local counter = self.counters[key]
    if counter and C.dict_counter_add(counter, by, sum) == 0 then
        return sum[0]
    end
    local result = incr_slowly(self, key, by, options)
    return result
end

---Puts `value` in the place of `expected`, if that is what there is, and leaves everything else as it is.
---Tables are compared by what is in them. An entry that had a time to live keeps it, unless there is a new one.
---@param key string|number
---@param expected nil|boolean|number|string|table nil: nothing
---@param value nil|boolean|number|string|table nil: removes it
---@param ttl? number seconds
---@return boolean is_done
function SharedDict:cas(key, expected, value, ttl)
    key = check_key("cas", key)
    check_ttl("cas", ttl)
    local packed, is_table = pack_value("cas", value)
    local bytes, expects_table = pack_value("cas", expected)
    repeat
        if expects_table then -- equal tables can be written differently: what is there is compared first
            local there, there_is_table = core.get(self.name, key)
            if not there_is_table or not is_same(serial.decode(there), expected) then
                return false
            end
            bytes = there
        end
        if core.cas(self.name, key, packed, is_table, ttl or -1, self.is_pinned, bytes, expects_table) then
            return true
        end
    until not expects_table
    return false
end

---Replaces a value by what `fn` makes of it, without losing what others do meanwhile: `fn` is called again
---when the value has changed under it. It may not wait.
---@param key string|number
---@param fn fun(value: any): any nil removes it
---@param ttl? number seconds; without it an entry keeps the time it has
---@return any value what it is now
function SharedDict:update(key, fn, ttl)
    key = check_key("update", key)
    check_ttl("update", ttl)
    if type(fn) ~= "function" then
        error("update: expected a function, got " .. type(fn), 2)
    end
    while true do
        local there, is_table = core.get(self.name, key)
        local value = fn(unpack_value(there, is_table))
        local packed, packs_table = pack_value("update", value)
        if core.cas(self.name, key, packed, packs_table, ttl or -1, self.is_pinned, there, is_table) then
            return value
        end
    end
end

---@param key string|number
---@return boolean was_there
function SharedDict:delete(key)
    return core.delete(self.name, check_key("delete", key))
end

---The keys, in order of their bytes. What expires or comes while they are listed may be in or not.
---@param prefix? string only those that begin so
---@param limit? integer at most so many; 10000
---@return string[]
function SharedDict:keys(prefix, limit)
    if prefix ~= nil and type(prefix) ~= "string" then
        error("keys: expected a string as the prefix, got " .. type(prefix), 2)
    end
    limit = limit or KEYS_LIMIT
    if type(limit) ~= "number" or not (limit >= 1 and limit <= 2 ^ 31 - 1) then
        error("keys: expected a limit of 1 or more, got " .. tostring(limit), 2)
    end
    return core.keys(self.name, prefix or "", limit)
end

---Removes all keys, or those that begin with `prefix`. Others may write meanwhile: it is many deletions.
---@param prefix? string
function SharedDict:clear(prefix)
    core.clear(self.name, prefix or "")
end

---An entry is no field: what was meant is `set`.
function SharedDict.__newindex(self, key)
    error(("shared dictionary %s: to keep a value, call set(%q, value); fields of it are not shared"):format(self.name,
        tostring(key)), 2)
end

handles.finish(SharedDict, "dictionary", function(self)
    return "shared dictionary " .. self.name
end)

local SHARED_OPTIONS = { "evict" }

local known = {} -- [is_pinned][name]
known[true], known[false] = {}, {}

---A dictionary by its name: the same entries in every worker, thread and app that asks for this name.
---@param name string 1 to 64 bytes, no NUL
---@param options? { evict?: boolean } evict = false: what is written through this one stays when the dictionary is
---  full, and writing raises `full` instead
---@return moonloop.SharedDict
function M.shared(name, options)
    if type(name) ~= "string" or #name < 1 or #name > NAME_BYTES or name:find("%z") then
        error(("shared: expected a name of 1 to %d bytes, got %s"):format(NAME_BYTES,
            type(name) == "string" and ("one of " .. #name) or type(name)), 2)
    end
    local is_pinned = waiting.options("shared", options, SHARED_OPTIONS).evict == false
    local dict = known[is_pinned][name]
    if not dict then
        dict = setmetatable({ name = name, is_pinned = is_pinned, counters = {}, ncounters = 0 }, SharedDict)
        known[is_pinned][name] = dict
    end
    return dict
end

---@class moonloop.SharedStats of all dictionaries together
---@field limit_bytes integer `shared_size`
---@field used_bytes integer keys, values and what it takes to keep them
---@field entries integer expired ones that have not been removed yet among them
---@field counters integer entries that `incr` made
---@field evicted integer entries that went because it was full
---@field expired integer entries removed after their time
---@field recovered integer how often a process was killed in the middle of a write, and nothing was lost

---@return moonloop.SharedStats
M.stats = core.stats

---Removes now what has expired; writers do it bit by bit otherwise.
M.sweep = core.sweep

---Where it lies: a directory. A process started with this in MOONLOOP_INTERNAL_SHARED shares the dictionary.
---@return string
M.path = core.path

---Whether `err` is one that a full dictionary raises.
---@param err any
---@return boolean
function M.is_full(err)
    return errors.is(err, "full")
end

return M
