--- Dates as HTTP and cookies write them, read as leniently as RFC 6265 (5.1.1) asks: all three formats of RFC 9110
--- (5.6.7) and what servers make of them.

local calendar = require("moonloop.util.calendar")

local M = {}

local MONTHS = { jan = 1, feb = 2, mar = 3, apr = 4, may = 5, jun = 6, jul = 7, aug = 8, sep = 9, oct = 10, nov = 11,
    dec = 12 }
local YEARS_AHEAD = 50
local TOKEN = "[^\t\32-\47\59-\64\91-\96\123-\126]+" -- what is no delimiter

---A number of so many digits at the beginning of a token; what follows it must be no digit.
local function number_of(token, least, most)
    local digits = token:match("^%d+")
    return digits and #digits >= least and #digits <= most and tonumber(digits) or nil
end

local function read_time(token)
    local hour, minute, second = token:match("^(%d%d?):(%d%d?):(%d+)")
    if not hour or #second > 2 then
        return nil
    end
    return { tonumber(hour), tonumber(minute), tonumber(second) }
end

local function read_parts(text)
    local time, day, month, year
    for token in text:gmatch(TOKEN) do
        local clock = not time and read_time(token)
        if clock then
            time = clock
        elseif not day and number_of(token, 1, 2) then
            day = number_of(token, 1, 2)
        elseif not month and MONTHS[token:sub(1, 3):lower()] then
            month = MONTHS[token:sub(1, 3):lower()]
        elseif not year and number_of(token, 2, 4) then
            year = number_of(token, 2, 4)
        end
    end
    return time, day, month, year
end

---The year that two digits stand for: in cookies one of 1970 to 2069 (RFC 6265, 5.1.1), elsewhere the last in which the
---date is not more than fifty years ahead (RFC 9110, 5.6.7).
local function whole_year(digits, month, day, time, now)
    if not now then
        return digits >= 70 and digits + 1900 or digits + 2000
    end
    local this_year = calendar.date(math.floor(now / calendar.DAY))
    local is_later = calendar.seconds(this_year, month, day, time[1], time[2], time[3]) > now -- in its year
    local latest = this_year + YEARS_AHEAD - (is_later and 1 or 0)
    return latest - (latest - digits) % 100
end

---@param text string "Sun, 06 Nov 1994 08:49:37 GMT" and its kin; always UTC
---@param now? number seconds since 1970; nil: it is a cookie's date
---@return number? seconds since 1970; nil: it is no date
function M.parse(text, now)
    local time, day, month, year = read_parts(text)
    if not (time and day and month and year) then
        return nil
    end
    year = year < 100 and whole_year(year, month, day, time, now) or year
    if year < 1601 or day < 1 or day > calendar.days_in_month(year, month) or time[1] > 23 or time[2] > 59
        or time[3] > 59 then
        return nil
    end
    return calendar.seconds(year, month, day, time[1], time[2], time[3])
end

return M
