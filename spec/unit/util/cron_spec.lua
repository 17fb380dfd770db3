local calendar = require("moonloop.util.calendar")
local cron = require("moonloop.util.cron")
local zone = require("moonloop.util.zone")

local ZONES = {
    berlin = zone.from_rule("CET-1CEST,M3.5.0,M10.5.0/3"),
    new_york = zone.from_rule("EST5EDT,M3.2.0,M11.1.0"),
    lord_howe = zone.from_rule("<+1030>-10:30<+11>-11,M10.1.0,M4.1.0"), -- half an hour of summer time
    kolkata = zone.from_rule("IST-5:30"),
    utc = zone.from_rule("UTC0"),
}

--- The next runs after a time of the clock in the zone, "2026-03-28 12:00", as that clock shows them.
local function runs(line, after, its_zone, count)
    local year, month, day, hour, minute = after:match("^(%d+)-(%d+)-(%d+) (%d+):(%d+)$")
    local clock = calendar.seconds(tonumber(year), tonumber(month), tonumber(day), tonumber(hour), tonumber(minute))
    local time, list = clock - (its_zone:at(clock - (its_zone:at(clock)))), {}
    local parsed = cron.parse(line)
    for i = 1, count do
        time = parsed:next(time, its_zone)
        list[i] = time and its_zone:text(time):sub(1, 16)
    end
    return list
end

local function in_utc(line, after, count)
    return runs(line, after, ZONES.utc, count)
end

describe("a cron line", function()
    it("has numbers, lists, ranges and steps", function()
        assert.same({ "2026-01-01 00:05", "2026-01-01 01:05" }, in_utc("5 * * * *", "2026-01-01 00:00", 2))
        assert.same({ "2026-01-01 00:20", "2026-01-01 00:40", "2026-01-01 01:00" },
            in_utc("*/20 * * * *", "2026-01-01 00:00", 3))
        assert.same({ "2026-01-01 09:00", "2026-01-01 12:00", "2026-01-01 13:00", "2026-01-01 15:00",
            "2026-01-02 09:00" }, in_utc("0 9,12-13,15-16/2 * * *", "2026-01-01 00:00", 5))
        assert.same({ "2026-02-01 00:00", "2026-06-01 00:00" }, in_utc("0 0 1 2,6 *", "2026-01-15 00:00", 2))
    end)

    it("has names of months and days, in any case, and 7 for Sunday", function()
        assert.same({ "2026-01-02 08:00", "2026-01-05 08:00" }, in_utc("0 8 * Jan MON-fri", "2026-01-01 08:00", 2))
        assert.same({ "2026-01-04 00:00", "2026-01-11 00:00" }, in_utc("0 0 * * 7", "2026-01-01 00:00", 2))
        assert.same({ "2026-01-02 00:00", "2026-01-03 00:00", "2026-01-04 00:00", "2026-01-09 00:00" },
            in_utc("0 0 * * fri-sun", "2026-01-01 00:00", 4))
    end)

    it("has shortcuts", function()
        assert.same({ "2026-01-01 01:00" }, in_utc("@hourly", "2026-01-01 00:00", 1))
        assert.same({ "2026-01-02 00:00" }, in_utc("@daily", "2026-01-01 00:00", 1))
        assert.same({ "2026-01-04 00:00" }, in_utc("@weekly", "2026-01-01 00:00", 1))
        assert.same({ "2026-02-01 00:00" }, in_utc("@monthly", "2026-01-01 00:00", 1))
        assert.same({ "2027-01-01 00:00" }, in_utc("@Yearly", "2026-01-01 00:00", 1))
    end)

    it("fits on either day when both days are restricted, as in classic cron, else on both", function()
        assert.same({ "2026-01-02 00:00", "2026-01-09 00:00", "2026-01-13 00:00" },
            in_utc("0 0 13 * fri", "2026-01-01 00:00", 3))
        assert.same({ "2026-02-13 00:00", "2026-03-13 00:00" }, -- a field that begins with * restricts nothing
            in_utc("0 0 */31,13 * fri", "2026-01-14 00:00", 2))
    end)

    it("finds days that are rare", function()
        assert.same({ "2028-02-29 00:00", "2032-02-29 00:00" }, in_utc("0 0 29 2 *", "2026-01-01 00:00", 2))
        assert.same({ "2104-02-29 00:00" }, in_utc("0 0 29 2 *", "2096-03-01 00:00", 1))
        local line, sundays, time = cron.parse("0 0 29-31/4 2 *"), {}, calendar.seconds(2064, 3, 1)
        line.weekday = { [0] = true } -- both days: of leap days the Sundays, over the year 2100 without one
        for i = 1, 3 do
            time = line:next(time, ZONES.utc)
            sundays[i] = calendar.text(time):sub(1, 10)
        end
        assert.same({ "2088-02-29", "2128-02-29", "2156-02-29" }, sundays)
    end)

    it("that is wrong is refused with the field and the reason", function()
        for line, reason in pairs({
            ["61 * * * *"] = "minute: 61 is not in 0-59",
            ["* 24 * * *"] = "hour: 24 is not in 0-23",
            ["* * 0 * *"] = "day of the month: 0 is not in 1-31",
            ["* * * 13 *"] = "month: 13 is not in 1-12",
            ["* * * * 8"] = "day of the week: 8 is not in 0-7",
            ["* * * foo *"] = 'month: "foo" is neither a number nor one of the names like jan',
            ["* * * * tag"] = 'day of the week: "tag" is neither a number nor one of the names like mon',
            ["x * * * *"] = 'minute: "x" is no number',
            ["5/15 * * * *"] = 'minute: "5/15" has a step and no range: write 5-59/15',
            ["*/0 * * * *"] = 'minute: the step of "*/0" is not a number from 1 to 59',
            ["*/x * * * *"] = 'minute: the step of "*/x" is not a number from 1 to 59',
            ["30-10 * * * *"] = 'minute: "30-10" runs backwards: write two ranges with a comma',
            ["1,,2 * * * *"] = 'minute: "1,,2" has an empty entry in its list',
            ["0 0 L * ?"] = 'day of the month: "L": the signs ? L W # of other schedulers are not known here',
            ["0 0 30 2 *"] = "it can never run: none of its months has such a day",
            ["0 0 31 feb,apr,jun,sep,nov *"] = "it can never run: none of its months has such a day",
            ["* * * *"] = "expected five fields (minute, hour, day of the month, month, day of the week), got 4",
            ["* * * * * *"] = "expected five fields (minute, hour, day of the month, month, day of the week), got 6; "
                .. "for seconds there is app:every",
            [""] = "expected five fields (minute, hour, day of the month, month, day of the week), got 0",
            ["@reboot"] = "@reboot is app:on_start here",
            ["@noon"] = "there is no @noon; there are @hourly, @daily, @midnight, @weekly, @monthly, @yearly and "
                .. "@annually",
        }) do
            assert.has_error(function() cron.parse(line) end, reason)
        end
        assert.has_error(function() cron.parse(5) end, 'expected a line like "0 3 * * mon-fri", got a number')
    end)

    it("of the 30th of February or a weekday can run after all", function()
        assert.same({ "2026-02-02 00:00" }, in_utc("0 0 30 2 mon", "2026-01-01 00:00", 1))
    end)
end)

describe("a cron line that names a time of day", function()
    it("whose time a jump forward leaves out runs at the jump, once", function()
        assert.same({ "2026-03-28 02:30", "2026-03-29 03:00", "2026-03-30 02:30" },
            runs("30 2 * * *", "2026-03-28 00:00", ZONES.berlin, 3))
        assert.same({ "2026-03-29 03:00", "2026-03-30 02:15" },
            runs("15,45 2 * * *", "2026-03-29 00:00", ZONES.berlin, 2))
        assert.same({ "2026-03-08 03:00", "2026-03-09 02:30" },
            runs("30 2 * * *", "2026-03-07 12:00", ZONES.new_york, 2))
        assert.same({ "2026-10-04 02:30", "2026-10-05 02:15" },
            runs("15 2 * * *", "2026-10-03 12:00", ZONES.lord_howe, 2))
        assert.same({ "2026-03-29 03:00", "2026-03-29 03:30" }, -- and what comes after the jump as always
            runs("30 2,3 * * *", "2026-03-29 01:00", ZONES.berlin, 2))
    end)

    it("that comes twice runs the first time", function()
        local berlin, line = ZONES.berlin, cron.parse("30 2 * * *")
        local first = calendar.seconds(2026, 10, 25, 0, 30) -- 02:30 in summer time
        assert.equal(first, line:next(first - 1, berlin))
        assert.equal(first + 25 * 3600, line:next(first, berlin))
        assert.equal(first + 25 * 3600, line:next(first + 3600, berlin))
        assert.equal(first + 25 * 3600, line:next(first + 3599, berlin))
        assert.same({ "2026-11-01 01:30", "2026-11-02 01:30" },
            runs("30 1 * * *", "2026-10-31 12:00", ZONES.new_york, 2))
        assert.same({ "2026-04-05 01:45", "2026-04-06 01:45" },
            runs("45 1 * * *", "2026-04-04 12:00", ZONES.lord_howe, 2))
    end)

    it("is not moved by a zone of half hours", function()
        local time = cron.parse("0 9 * * *"):next(calendar.seconds(2026, 1, 1), ZONES.kolkata)
        assert.equal(calendar.seconds(2026, 1, 1, 3, 30), time)
    end)
end)

describe("a cron line that names an interval", function()
    it("goes on with what the clock shows: nothing more after a jump forward, both of two equal hours", function()
        assert.same({ "2026-03-29 01:30", "2026-03-29 03:00", "2026-03-29 03:30" },
            runs("*/30 * * * *", "2026-03-29 01:00", ZONES.berlin, 3))
        assert.same({ "2026-10-25 02:00", "2026-10-25 02:30", "2026-10-25 02:00", "2026-10-25 02:30",
            "2026-10-25 03:00" }, runs("*/30 * * * *", "2026-10-25 01:30", ZONES.berlin, 5))
        assert.same({ "2026-03-29 01:15", "2026-03-29 03:15" },
            runs("15 * * * *", "2026-03-29 01:00", ZONES.berlin, 2))
    end)

    it("runs as often as there are minutes, on the days of the changes too", function()
        for _, days in ipairs({ { 2026, 3, 29, 23 }, { 2026, 10, 25, 25 }, { 2026, 7, 1, 24 } }) do
            local line, count = cron.parse("*/10 * * * *"), 0
            local first = calendar.seconds(days[1], days[2], days[3])
            local time = first - (ZONES.berlin:at(first)) - 1
            repeat
                time = line:next(time, ZONES.berlin)
                count = count + 1
            until ZONES.berlin:text(time) >= calendar.text(first + 86400)
            assert.equal(days[4] * 6, count - 1)
        end
    end)
end)

-- ---- against a slow reading of the same rules ----

--- The month and the day of the month of a day, kept: minutes ask for the same one again and again.
local date_of = setmetatable({}, { __index = function(dates, number)
    local _, month, day = calendar.date(number)
    dates[number] = { month, day }
    return dates[number]
end })

--- All runs from `first` to `last`, minute by minute.
local function slow_runs(line, its_zone, first, last)
    local seen, times = {}, {}
    local function fits(clock)
        local number = math.floor(clock / 86400)
        local date = date_of[number]
        return line.minute[clock / 60 % 60] and line.hour[math.floor(clock / 3600) % 24] and line.month[date[1]]
            and line:fits_day(number, date[2])
    end
    local function add(time)
        if not seen[time] then
            seen[time] = true
            times[#times + 1] = time
        end
    end
    local shown_before = first + (its_zone:at(first)) - 60
    for time = first, last, 60 do
        local shown = time + (its_zone:at(time))
        if line.is_fixed then
            for clock = shown_before + 60, shown, 60 do -- nothing of it when the clock went back
                if fits(clock) then
                    add(time)
                end
            end
            shown_before = math.max(shown_before, shown)
        elseif fits(shown) then
            add(time)
        end
    end
    return times
end

describe("the search for the next run", function()
    local FIELDS = { { 0, 59 }, { 0, 23 }, { 1, 28 }, { 1, 12 }, { 0, 6 } }

    local function random_field(first, last, likes_star)
        local kind = math.random(likes_star and 1 or 3, 5)
        if kind == 1 then
            return "*"
        elseif kind == 2 then
            return "*/" .. math.random(1, math.max(1, math.floor(last / 2)))
        elseif kind == 3 then
            return tostring(math.random(first, last))
        end
        local from = math.random(first, last)
        return from .. "-" .. math.random(from, last) .. (kind == 5 and "," .. math.random(first, last) or "")
    end

    it("finds what a walk from minute to minute finds, around the changes of many zones", function()
        math.randomseed(20260329)
        local days = { { 2026, 3, 8 }, { 2026, 3, 29 }, { 2026, 4, 5 }, { 2026, 10, 4 }, { 2026, 10, 25 },
            { 2026, 11, 1 } }
        for _ = 1, 60 do
            local words = {}
            for i, each in ipairs(FIELDS) do
                words[i] = i <= 2 and random_field(each[1], each[2], math.random() < 0.4) or "*"
            end
            if math.random() < 0.3 then
                words[5] = random_field(0, 6, false)
            end
            local line = cron.parse(table.concat(words, " "))
            local day = days[math.random(#days)]
            for name, its_zone in pairs(ZONES) do
                local first = calendar.seconds(day[1], day[2], day[3]) - 86400
                local last = first + 3 * 86400
                local expected, found, time = slow_runs(line, its_zone, first, last), {}, first - 1
                while true do
                    time = line:next(time, its_zone)
                    if not time or time > last then
                        break
                    end
                    found[#found + 1] = time
                end
                assert.same(expected, found, line.line .. " in " .. name)
            end
        end
    end)
end)
