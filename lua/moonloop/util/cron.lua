--- Cron lines: five fields read into sets, and the next time that a line means in a time zone. Pure: the zone and
--- the time are given.
---
--- Changes of the clocks, as in Debian's cron. A line whose minute and hour are both without `*` names times of
--- day: those that a jump forward leaves out run once, at the moment of the jump; those that come twice run the
--- first time. Any other line names an interval: it goes by what the clocks show, so it pauses over nothing and
--- runs in both of two equal hours.

local calendar = require("moonloop.util.calendar")

local M = {}

---@class moonloop.Cron
---@field line string
---@field is_fixed boolean it names times of day, not an interval
---@field private minute boolean[] by value
---@field private hour boolean[]
---@field private day boolean[]
---@field private month boolean[]
---@field private weekday boolean[] 0 is Sunday
---@field private is_either boolean the day of the month or that of the week is enough
local Cron = { __name = "moonloop.Cron" }
Cron.__index = Cron

local MONTHS = { jan = 1, feb = 2, mar = 3, apr = 4, may = 5, jun = 6, jul = 7, aug = 8, sep = 9, oct = 10, nov = 11,
    dec = 12 }
local WEEKDAYS = { sun = 0, mon = 1, tue = 2, wed = 3, thu = 4, fri = 5, sat = 6 }

local FIELDS = {
    { key = "minute", name = "minute", first = 0, last = 59 },
    { key = "hour", name = "hour", first = 0, last = 23 },
    { key = "day", name = "day of the month", first = 1, last = 31 },
    { key = "month", name = "month", first = 1, last = 12, names = MONTHS },
    { key = "weekday", name = "day of the week", first = 0, last = 7, names = WEEKDAYS },
}

local SHORTCUTS = {
    ["@yearly"] = "0 0 1 1 *", ["@annually"] = "0 0 1 1 *", ["@monthly"] = "0 0 1 * *", ["@weekly"] = "0 0 * * 0",
    ["@daily"] = "0 0 * * *", ["@midnight"] = "0 0 * * *", ["@hourly"] = "0 * * * *",
}

local HORIZON = 41 * 366 -- days: 29 February on a given weekday can be 40 years away
local LONGEST_MONTH = { 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 }

-- ---- reading ----

local function fail(field, format, ...)
    error(("%s: %s"):format(field.name, format:format(...)), 0)
end

local function read_value(field, text)
    local value = text:match("^%d+$") and tonumber(text) or (field.names and field.names[text:lower()])
    if not value then
        fail(field, field.names and "%q is neither a number nor one of the names like %s" or "%q is no number",
            text, field.key == "month" and "jan" or "mon")
    elseif value < field.first or value > field.last then
        fail(field, "%d is not in %d-%d", value, field.first, field.last)
    end
    return value
end

---First and last value of "*", "3" or "3-7".
local function read_range(field, text)
    if text == "*" then
        return field.first, field.key == "weekday" and 6 or field.last
    end
    local from, to = text:match("^(%w+)-(%w+)$")
    if not from then
        local value = read_value(field, text)
        return value, value
    end
    local first, last = read_value(field, from), read_value(field, to)
    if field.key == "weekday" and last == 0 and first > 0 then
        last = 7 -- "fri-sun"
    end
    if first > last then
        fail(field, "%q runs backwards: write two ranges with a comma", text)
    end
    return first, last
end

local function add_part(field, set, part)
    local range, step = part:match("^(.-)/(.*)$")
    range = range or part
    local first, last = read_range(field, range)
    local stride = 1
    if step then
        stride = tonumber(step:match("^%d+$"))
        if not stride or stride < 1 or stride > field.last then
            fail(field, "the step of %q is not a number from 1 to %d", part, field.last)
        elseif first == last then
            fail(field, "%q has a step and no range: write %s-%d/%s", part, range, field.last, step)
        end
    end
    for value = first, last, stride do
        set[field.key == "weekday" and value % 7 or value] = true
    end
end

local function read_field(field, text)
    local set = {}
    if text:find("[?#]") or text:find("^%d*[LW]+$") then
        fail(field, "%q: the signs ? L W # of other schedulers are not known here", text)
    end
    for part in (text .. ","):gmatch("([^,]*),") do
        if part == "" then
            fail(field, "%q has an empty entry in its list", text)
        end
        add_part(field, set, part)
    end
    return set
end

---Raises when no day of any year fits.
local function check_days(self)
    if self.is_either then
        return
    end
    for month, longest in ipairs(LONGEST_MONTH) do
        for day = 1, longest do
            if self.month[month] and self.day[day] then
                return
            end
        end
    end
    error("it can never run: none of its months has such a day", 0)
end

---@param line string
---@return string[] five fields
local function split(line)
    if type(line) ~= "string" then
        error("expected a line like \"0 3 * * mon-fri\", got a " .. type(line), 0)
    end
    local words = {}
    for word in line:gmatch("%S+") do
        words[#words + 1] = word
    end
    if #words == 1 and words[1]:sub(1, 1) == "@" then
        local known = SHORTCUTS[words[1]:lower()]
        if words[1]:lower() == "@reboot" then
            error("@reboot is app:on_start here", 0)
        elseif not known then
            error(("there is no %s; there are @hourly, @daily, @midnight, @weekly, @monthly, @yearly and @annually")
                :format(words[1]), 0)
        end
        return split(known)
    end
    if #words ~= 5 then
        error(("expected five fields (minute, hour, day of the month, month, day of the week), got %d%s"):format(#words,
            #words == 6 and "; for seconds there is app:every" or ""), 0)
    end
    return words
end

---Reads a line. Raises a string that says which field is wrong, and why.
---@param line string "minute hour day month weekday", or "@daily" and its sisters
---@return moonloop.Cron
function M.parse(line)
    local words = split(line)
    local self = setmetatable({ line = line }, Cron)
    for i, field in ipairs(FIELDS) do
        self[field.key] = read_field(field, words[i])
    end
    local function has_star(i)
        return words[i]:sub(1, 1) == "*"
    end
    self.is_fixed = not has_star(1) and not has_star(2)
    self.is_either = not has_star(3) and not has_star(5)
    check_days(self)
    return self
end

-- ---- the next time ----

function Cron:fits_day(number, day)
    if self.is_either then
        return self.day[day] or self.weekday[calendar.weekday(number)]
    end
    return self.day[day] and self.weekday[calendar.weekday(number)]
end

---The first minute of a day, from `from` on, that fits; nil when there is none.
function Cron:minute_of_day(from)
    for minute = from, 1439 do
        local hour = math.floor(minute / 60)
        if self.hour[hour] and self.minute[minute % 60] then
            return minute
        end
    end
end

---The first time from `from` on, and before `limit`, that fits, both as seconds of a clock on the wall.
---@return number? seconds
function Cron:next_local(from, limit)
    local minute = math.ceil(from / 60)
    local number = math.floor(minute / 1440)
    local last = math.min(math.floor((limit - 1) / calendar.DAY), number + HORIZON)
    minute = minute % 1440
    while number <= last do
        local year, month, day = calendar.date(number)
        if not self.month[month] then
            number = number + calendar.days_in_month(year, month) - day + 1
        else
            local found = self:fits_day(number, day) and self:minute_of_day(minute)
            if found then
                local seconds = number * calendar.DAY + found * 60
                return seconds < limit and seconds or nil
            end
            number = number + 1
        end
        minute = 0
    end
end

---The first time after `after` that the line means.
---@param after number Unix seconds
---@param zone moonloop.Zone
---@return integer? time Unix seconds; nil when there is none within 40 years
function Cron:next(after, zone)
    local from = math.floor(after) + 1
    local horizon = after + HORIZON * calendar.DAY
    while from <= horizon do
        local offset, since, till, before = zone:at(from)
        local start = from + offset
        if self.is_fixed and from == since and offset > before
            and self:next_local(since + before, since + offset) then
            return since -- its time was left out
        elseif self.is_fixed and offset < before then
            start = math.max(start, since + before) -- until then everything comes again
        end
        local found = self:next_local(start, till + offset)
        if found then
            return found - offset
        elseif till == math.huge then
            return nil
        end
        from = till
    end
end

return M
