--- Days and dates of the proleptic Gregorian calendar, by number: day 0 is 1 January 1970. Pure arithmetic.

local floor = math.floor

local M = {}

M.DAY = 86400 -- seconds

local DAYS_BEFORE = { 0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334 } -- the month, in a common year
local DAYS_IN = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 }

---@param year integer
---@return boolean
function M.is_leap(year)
    return year % 4 == 0 and (year % 100 ~= 0 or year % 400 == 0)
end

---@param year integer
---@param month integer 1..12
---@return integer 28..31
function M.days_in_month(year, month)
    return month == 2 and M.is_leap(year) and 29 or DAYS_IN[month]
end

---@param year integer
---@param month integer 1..12
---@param day integer 1..31
---@return integer number of the day
function M.day_number(year, month, day)
    local before = year - 1
    local leaps = floor(before / 4) - floor(before / 100) + floor(before / 400)
    local shift = month > 2 and M.is_leap(year) and 1 or 0
    return before * 365 + leaps - 719162 + DAYS_BEFORE[month] + shift + day - 1
end

---The date of a day: years are counted from 1 March of the year 0, so that a leap day ends its year.
---@param number integer
---@return integer year
---@return integer month 1..12
---@return integer day 1..31
function M.date(number)
    local days = number + 719468
    local era = floor(days / 146097) -- of 400 years
    local day_of_era = days - era * 146097
    local year_of_era = floor((day_of_era - floor(day_of_era / 1460) + floor(day_of_era / 36524)
        - floor(day_of_era / 146096)) / 365)
    local day_of_year = day_of_era - (365 * year_of_era + floor(year_of_era / 4) - floor(year_of_era / 100))
    local shifted = floor((5 * day_of_year + 2) / 153) -- 0 is March
    local month = shifted < 10 and shifted + 3 or shifted - 9
    return year_of_era + era * 400 + (month <= 2 and 1 or 0), month,
        day_of_year - floor((153 * shifted + 2) / 5) + 1
end

---@param number integer
---@return integer 0 is Sunday, 6 is Saturday
function M.weekday(number)
    return (number + 4) % 7
end

---Seconds since 1970 of a date and time, as if it were UTC.
---@param year integer
---@param month integer
---@param day integer
---@param hour? integer
---@param minute? integer
---@param second? integer
---@return integer
function M.seconds(year, month, day, hour, minute, second)
    return M.day_number(year, month, day) * M.DAY + (hour or 0) * 3600 + (minute or 0) * 60 + (second or 0)
end

---"2026-03-29 02:30:00" of seconds since 1970.
---@param seconds number
---@return string
function M.text(seconds)
    local whole = floor(seconds)
    local year, month, day = M.date(floor(whole / M.DAY))
    local rest = whole % M.DAY
    return ("%04d-%02d-%02d %02d:%02d:%02d"):format(year, month, day, floor(rest / 3600),
        floor(rest / 60) % 60, rest % 60)
end

return M
