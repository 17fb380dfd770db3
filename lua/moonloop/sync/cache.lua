--- Caches: the values used last, for so long; each is loaded once, however many ask for it at once.
---
--- Entries form a ring through `head`, the one used last first; what has no place falls off its end. A value that has
--- run out goes when it is next looked at, or falls off.

local clock = require("moonloop.clock")
local errors = require("moonloop.util.errors")
local flights = require("moonloop.sync.flights")
local log = require("moonloop.log")
local handle = require("moonloop.util.handle")
local task = require("moonloop.task")
local waiting = require("moonloop.sync.waiting")

---@class moonloop.Cache
---@field size integer the most entries
---@field length integer entries now, those that have run out and were not looked at among them
---@field hits integer
---@field misses integer
---@field evictions integer entries that fell off for want of a place
---@field private name string
---@field private entries table
---@field private flights moonloop.sync.Flights
local Cache = { __name = "moonloop.Cache", __transfer = false }
Cache.__index = Cache

local M = {}

local OPTIONS = { "ttl", "size", "negative_ttl", "stale", "queue", "name" }
local SECONDS_MAX = 1e10
local NOTHING = {} -- what is kept for a loader that found nothing

local function seconds_option(options, name)
    if options[name] == nil then
        return nil
    end
    local value = waiting.number("cache: " .. name, options[name], 0, SECONDS_MAX, 2)
    return value
end

---@class moonloop.CacheOptions
---@field ttl? number seconds that a value lives; without one, until it falls off
---@field size? integer the most entries; 1000
---@field negative_ttl? number seconds to remember that a loader found nothing (nil); without it the next one asks again
---@field stale? number seconds more that a value is given while one load brings a new one, or fails to; 0
---@field queue? integer tasks that wait for the load of one key; 10000, one more gets `full`
---@field name? string for messages

---A cache: what was used longest ago goes when there is no place.
---@param options? moonloop.CacheOptions
---@return moonloop.Cache
function M.cache(options)
    options = waiting.options("cache", options, OPTIONS)
    local name, limit = waiting.common("cache", options)
    local self = {
        name = name, ttl = seconds_option(options, "ttl"), negative_ttl = seconds_option(options, "negative_ttl"),
        stale = seconds_option(options, "stale") or 0,
        size = waiting.integer("cache: size", options.size == nil and 1000 or options.size, 1, waiting.MAX),
        flights = flights.new(name, limit), hits = 0, misses = 0, evictions = 0,
    }
    setmetatable(self, Cache)
    self:clear()
    return self
end

-- ---- the ring ----

local function unlink(entry)
    entry.before.after, entry.after.before = entry.after, entry.before
end

local function link_first(self, entry)
    local head = self.head
    entry.before, entry.after = head, head.after
    head.after.before, head.after = entry, entry
end

local function drop(self, entry)
    unlink(entry)
    self.entries[entry.key] = nil
    self.length = self.length - 1
end

local function store(self, key, value, ttl)
    local entry = self.entries[key]
    if entry then
        unlink(entry)
    else
        if self.length >= self.size then
            drop(self, self.head.before)
            self.evictions = self.evictions + 1
        end
        entry = { key = key }
        self.entries[key] = entry
        self.length = self.length + 1
    end
    entry.value = value
    entry.expires_at = ttl and clock.now() + ttl or math.huge
    link_first(self, entry)
end

---The entry, when it still may be given; and whether it has run out.
local function find(self, key)
    local entry = self.entries[key]
    if not entry then
        return nil
    elseif entry.expires_at ~= math.huge then
        local late = clock.now() - entry.expires_at
        if late >= 0 then
            if late < self.stale and entry.value ~= NOTHING then
                return entry, true
            end
            drop(self, entry)
            return nil
        end
    end
    return entry, false
end

-- ---- loading ----

local function check_ttl(self, ttl)
    if ttl ~= nil and (type(ttl) ~= "number" or not (ttl >= 0 and ttl <= SECONDS_MAX)) then
        errors.raise("misuse", "the loader of the %s gave a lifetime that is not 0 to 1e10 seconds: %s", self.name,
            tostring(ttl))
    end
    return ttl or self.ttl
end

---Runs in the task that all callers share. What was deleted or set meanwhile is newer than what it brings.
local function load(flight, self, key, loader)
    local value, ttl = loader(key)
    ttl = check_ttl(self, ttl)
    if self.flights:is_current(key, flight) then
        if value ~= nil then
            store(self, key, value, ttl)
        elseif self.negative_ttl then
            store(self, key, NOTHING, self.negative_ttl)
        end
    end
    return value
end

---A load that nobody waits for, unless the old value runs out for good meanwhile.
local function refresh(flight, self, key, loader)
    local ok, value = pcall(task.timeout, self.stale, load, flight, self, key, loader)
    if self.flights:is_current(key, flight) then
        self.flights:forget(key)
    end
    if not ok then
        if not errors.is(value, "cancelled") then
            log.warn(("the %s goes on with an old value: %s"):format(self.name, errors.message(value)))
        end
        error(value, 0)
    end
    return value
end

local function check_key(key, level)
    local problem = flights.key_problem(key)
    if problem then
        error("cache: " .. problem, level + 1)
    end
end

-- ---- the face ----

---The value of a key. When there is none and a loader is given, `loader(key)` gives it, and perhaps its lifetime in
---seconds as a second value; all who ask meanwhile wait for the same call. What the loader raises is raised to all of
---them and not kept.
---@param key any but nil and NaN
---@param loader? fun(key: any): any, number?
---@return any value nil when there is none
function Cache:get(key, loader)
    check_key(key, 2)
    if loader ~= nil then
        waiting.callable("cache:get", loader)
    end
    local entry, is_stale = find(self, key)
    if entry then
        self.hits = self.hits + 1
        unlink(entry)
        link_first(self, entry)
        if is_stale and loader and not self.flights:find(key) then
            self.flights:start(key, refresh, self, key, loader)
        end
        if entry.value == NOTHING then
            return nil
        end
        return entry.value
    end
    self.misses = self.misses + 1
    if not loader then
        return nil
    end
    local value = self.flights:run(key, load, self, key, loader)
    return value
end

---@param key any but nil and NaN
---@param value any but nil
---@param ttl? number seconds; without one, that of the cache
function Cache:set(key, value, ttl)
    check_key(key, 2)
    if value == nil then
        error("cache:set: nil cannot be kept; use cache:delete", 2)
    elseif ttl ~= nil then
        waiting.number("cache:set: ttl", ttl, 0, SECONDS_MAX)
    end
    self.flights:forget(key)
    store(self, key, value, ttl or self.ttl)
end

---Forgets a key; a load that is under way is not kept.
---@param key any
---@return boolean existed
function Cache:delete(key)
    check_key(key, 2)
    self.flights:forget(key)
    local entry = find(self, key)
    if entry then
        drop(self, entry)
    end
    return entry ~= nil
end

---Forgets everything but the counts; loads that are under way are not kept.
function Cache:clear()
    self.entries, self.length = {}, 0
    self.head = {}
    self.head.before, self.head.after = self.head, self.head
    self.flights:forget_all()
end

handle.finish(Cache, "cache", function(self)
    return handle.text(self.name, ("%d of %d entries"):format(self.length, self.size))
end)

return M
