--- Time zones: when which offset from UTC rules. From the bytes of TZif files (RFC 9636) and from rules like those of
--- POSIX's TZ variable, which stand at the end of such files for all years to come.

local calendar = require("moonloop.util.calendar")
local rules = require("moonloop.util.zone_rules")

local M = {}

---@class moonloop.Zone
---@field name string
---@field private times number[] Unix seconds, rising: from then on the offset of the same index rules
---@field private offsets number[] seconds east of UTC
---@field private first number the offset before times[1]
---@field private rule? moonloop.ZoneRule for what comes after the last of `times`
local Zone = { __name = "moonloop.Zone" }
Zone.__index = Zone

local HEADER_BYTES = 44

local function read_u32(bytes, at)
    local a, b, c, d = bytes:byte(at, at + 3)
    return ((a * 256 + b) * 256 + c) * 256 + d
end

local function read_i32(bytes, at)
    local value = read_u32(bytes, at)
    return value >= 2 ^ 31 and value - 2 ^ 32 or value
end

local function read_i64(bytes, at)
    return read_i32(bytes, at) * 2 ^ 32 + read_u32(bytes, at + 4)
end

---The counts of a header that begins at `at`, and the size of the data behind it.
local function read_header(bytes, at, time_bytes)
    if bytes:sub(at, at + 3) ~= "TZif" or #bytes < at + HEADER_BYTES - 1 then
        error("it is no TZif file", 0)
    end
    local names = { "isutc", "isstd", "leap", "time", "type", "char" }
    local counts = {}
    for i, name in ipairs(names) do
        counts[name] = read_u32(bytes, at + 16 + 4 * i)
    end
    local size = counts.time * (time_bytes + 1) + counts.type * 6 + counts.char
        + counts.leap * (time_bytes + 4) + counts.isstd + counts.isutc
    return counts, size
end

---Transitions that change nothing about the offset (a new abbreviation) are left out.
local function read_transitions(self, bytes, at, counts, time_bytes)
    local read_time = time_bytes == 8 and read_i64 or read_i32
    local kinds_at = at + counts.time * time_bytes
    local types_at = kinds_at + counts.time
    local function offset_of(kind)
        return read_i32(bytes, types_at + 6 * kind)
    end
    self.first = counts.type > 0 and offset_of(0) or 0
    local last = self.first
    for i = 0, counts.time - 1 do
        local offset = offset_of(bytes:byte(kinds_at + i))
        if offset ~= last then
            self.times[#self.times + 1] = read_time(bytes, at + i * time_bytes)
            self.offsets[#self.times] = offset
            last = offset
        end
    end
end

---A zone from the bytes of a TZif file. Raises a string when they are none.
---@param name string
---@param bytes string
---@return moonloop.Zone
function M.parse(name, bytes)
    local self = setmetatable({ name = name, times = {}, offsets = {} }, Zone)
    local counts, size = read_header(bytes, 1, 4)
    local at, time_bytes = 1 + HEADER_BYTES, 4
    if bytes:byte(5) >= 0x32 then -- version 2 and up: the same again in 64 bits, then the rule
        at, time_bytes = at + size, 8
        counts, size = read_header(bytes, at, 8)
        at = at + HEADER_BYTES
        local rule = bytes:sub(at + size):match("^\n([^\n]*)\n")
        self.rule = rule and rule ~= "" and rules.parse(rule) or nil
    end
    if #bytes < at + size - 1 then
        error("the TZif file is cut short", 0)
    end
    read_transitions(self, bytes, at, counts, time_bytes)
    return self
end

---A zone from a rule like "CET-1CEST,M3.5.0,M10.5.0/3". Raises a string when it is none.
---@param text string
---@return moonloop.Zone
function M.from_rule(text)
    local rule = rules.parse(text)
    return setmetatable({ name = text, times = {}, offsets = {}, first = rule.offset, rule = rule }, Zone)
end

---Index of the last transition at or before `time`; 0 when there is none.
local function find(times, time)
    local low, high = 0, #times
    while low < high do
        local middle = math.ceil((low + high) / 2)
        if times[middle] <= time then
            low = middle
        else
            high = middle - 1
        end
    end
    return low
end

---After the last transition that is listed, by the rule. `since`, `offset`: of that last one.
local function look_at_rule(rule, time, since, offset, before)
    local year = calendar.date(math.floor(time / calendar.DAY))
    for _, each in ipairs(rule:transitions(year - 1, year + 1)) do
        if each.time >= since and each.offset ~= offset then
            if each.time > time then
                return offset, since, each.time, before
            end
            since, before, offset = each.time, offset, each.offset
        end
    end
    return offset, since, math.huge, before
end

---Which offset rules at a time, and how long.
---@param time number Unix seconds
---@return number offset seconds east of UTC
---@return number since Unix seconds, -math.huge for always
---@return number till the first second of the next offset, math.huge for ever
---@return number before the offset that ruled before `since`
function Zone:at(time)
    local times, offsets = self.times, self.offsets
    local index = find(times, time)
    local offset, since = offsets[index] or self.first, times[index] or -math.huge
    local before = offsets[index - 1] or self.first
    if index < #times then
        return offset, since, times[index + 1], before
    elseif self.rule then
        if index == 0 then -- no list: everything is by the rule
            offset = self.rule.offset
        end
        return look_at_rule(self.rule, time, since, offset, before)
    end
    return offset, since, math.huge, before
end

---"2026-03-29 03:00:00" as the clocks of the zone show it.
---@param time number Unix seconds
---@return string
function Zone:text(time)
    return calendar.text(time + (self:at(time)))
end

return M
