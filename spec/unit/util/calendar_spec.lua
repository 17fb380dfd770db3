local calendar = require("moonloop.util.calendar")

describe("the calendar", function()
    it("counts days as the C library does, there and back", function()
        for number = -20000, 60000, 7 do
            local expected = os.date("!*t", number * 86400)
            local year, month, day = calendar.date(number)
            local is_right = expected.year == year and expected.month == month and expected.day == day
                and expected.wday - 1 == calendar.weekday(number) and number == calendar.day_number(year, month, day)
            if not is_right then -- an assertion for each would take most of the time
                error(("day %d: %d-%d-%d"):format(number, year, month, day))
            end
        end
    end)

    it("knows leap years", function()
        assert.equal(29, calendar.days_in_month(2024, 2))
        assert.equal(28, calendar.days_in_month(2100, 2))
        assert.equal(29, calendar.days_in_month(2000, 2))
        assert.equal(31, calendar.days_in_month(2023, 12))
    end)

    it("shows seconds as a date and a time", function()
        assert.equal("2026-03-29 02:30:05", calendar.text(calendar.seconds(2026, 3, 29, 2, 30, 5)))
        assert.equal("1969-12-31 23:59:59", calendar.text(-0.5))
    end)
end)
