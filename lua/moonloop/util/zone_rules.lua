--- Rules of POSIX's TZ variable, with the extensions of RFC 9636: "CET-1CEST,M3.5.0,M10.5.0/3". What they say of a
--- year: when summer time begins and ends.

local calendar = require("moonloop.util.calendar")

local M = {}

---@class moonloop.ZoneRule
---@field offset number seconds east of UTC, outside of summer time
---@field summer? number the same in summer time; nil: there is none
---@field begins? table a day of the year and a time of it
---@field ends? table
local ZoneRule = { __name = "moonloop.ZoneRule" }
ZoneRule.__index = ZoneRule

local DEFAULT_TIME = 2 * 3600

local function fail(text)
    error(("%q is no rule of a time zone"):format(text), 0)
end

---"-1", "+5:30", "3:00:00" in seconds.
local function take_time(text, at)
    local sign, hours, stop = text:match("^([+-]?)(%d%d?%d?)()", at)
    if not hours then
        return nil
    end
    local seconds = tonumber(hours) * 3600
    for _, unit in ipairs({ 60, 1 }) do
        local digits, next_at = text:match("^:(%d%d)()", stop)
        if not digits then
            break
        end
        seconds, stop = seconds + tonumber(digits) * unit, next_at
    end
    return sign == "-" and -seconds or seconds, stop
end

local function take_name(text, at)
    return text:match("^%a%a%a+()", at) or text:match("^<[%w+-]+>()", at)
end

---",M3.5.0/2", ",J60", ",59/3".
local function take_day(text, at)
    local month, week, weekday, stop = text:match("^,M(%d+)%.(%d)%.(%d)()", at)
    local day
    if month then
        day = { month = tonumber(month), week = tonumber(week), weekday = tonumber(weekday) }
        if day.month < 1 or day.month > 12 or day.week < 1 or day.week > 5 or day.weekday > 6 then
            return nil
        end
    else
        local julian, number, after = text:match("^,(J?)(%d+)()", at)
        if not number then
            return nil
        end
        day, stop = { number = tonumber(number), skips_leap_day = julian == "J" }, after
    end
    day.time = DEFAULT_TIME
    if text:sub(stop, stop) == "/" then
        day.time, stop = take_time(text, stop + 1)
    end
    return day.time and day, stop
end

---@param text string
---@return moonloop.ZoneRule
function M.parse(text)
    local at = take_name(text, 1)
    local west, stop
    if at then
        west, stop = take_time(text, at)
    end
    if not west then
        fail(text)
    end
    local self = setmetatable({ offset = -west }, ZoneRule)
    if stop > #text then
        return self
    end
    at = take_name(text, stop) or fail(text)
    local summer_west, after = take_time(text, at)
    self.summer = summer_west and -summer_west or self.offset + 3600
    self.begins, stop = take_day(text, after or at)
    if self.begins then
        self.ends, stop = take_day(text, stop)
    end
    if not self.ends or stop <= #text then
        fail(text)
    end
    return self
end

---Number of the day that a rule means in a year.
local function day_of(day, year)
    if day.number then
        local number = calendar.day_number(year, 1, 1) + day.number
        if not day.skips_leap_day then
            return number
        end
        return number - 1 + (calendar.is_leap(year) and day.number >= 60 and 1 or 0)
    end
    local first = calendar.day_number(year, day.month, 1)
    local number = first + (day.weekday - calendar.weekday(first)) % 7 + 7 * (day.week - 1)
    while number >= first + calendar.days_in_month(year, day.month) do -- the fifth is the last
        number = number - 7
    end
    return number
end

---The changes of some years, in order of time.
---@param first integer year
---@param last integer year
---@return { time: number, offset: number }[]
function ZoneRule:transitions(first, last)
    local list = {}
    if not self.summer then
        return list
    end
    for year = first, last do
        list[#list + 1] = {
            time = day_of(self.begins, year) * calendar.DAY + self.begins.time - self.offset,
            offset = self.summer, is_begin = true,
        }
        list[#list + 1] = {
            time = day_of(self.ends, year) * calendar.DAY + self.ends.time - self.summer,
            offset = self.offset, is_begin = false,
        }
    end
    table.sort(list, function(a, b)
        if a.time ~= b.time then
            return a.time < b.time
        end
        return not a.is_begin and b.is_begin -- summer time all year ends and begins in one moment
    end)
    return list
end

return M
