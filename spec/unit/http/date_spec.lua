local date = require("moonloop.http.date")

describe("a date of HTTP", function()
    it("is read in all of its formats, and as leniently as cookies want", function()
        for text, seconds in pairs({
            ["Sun, 06 Nov 1994 08:49:37 GMT"] = 784111777,
            ["Sunday, 06-Nov-94 08:49:37 GMT"] = 784111777,
            ["Sun Nov  6 08:49:37 1994"] = 784111777,
            ["Thu, 01 Jan 1970 00:00:00 GMT"] = 0,
            ["Thu, 01-Jan-1970 00:00:01 GMT"] = 1,
            ["1 jan 1970 0:0:2"] = 2,
            ["00:00:03 Jan 1 70"] = 3,
            ["Mon, 29 Feb 2016 12:00:00 GMT"] = 1456747200,
            ["Wed, 13-Jan-2021 22:23:01 UTC+1"] = 1610576581,
            ["Tue, 31 Dec 69 23:59:59"] = 3155759999,
            ["01 Januar 1601 00:00:00"] = -11644473600,
        }) do
            assert.equal(seconds, date.parse(text), text)
        end
    end)

    it("has a year of two digits that is not more than fifty years ahead", function()
        for now, years in pairs({
            [1795260000] = { [26] = 2026, [27] = 2027, [70] = 2070, [76] = 2076, [77] = 1977, [94] = 1994, [0] = 2000 },
            [3786912000] = { [90] = 2090, [39] = 2139, [40] = 2040, [41] = 2041, [89] = 2089 },
        }) do
            for digits, year in pairs(years) do
                local text = "%s, 06-Nov-%02d 08:49:37 GMT"
                assert.equal(date.parse(("06 Nov %d 08:49:37"):format(year)),
                    date.parse(text:format("Sunday", digits), now), digits .. " seen from " .. now)
            end
        end
    end)

    it("has such a year to the second", function()
        local now = date.parse("21 Nov 2026 12:00:00")
        for text, whole in pairs({
            ["Saturday, 21-Nov-76 12:00:00 GMT"] = "21 Nov 2076 12:00:00",
            ["Sunday, 21-Nov-76 12:00:01 GMT"] = "21 Nov 1976 12:00:01",
            ["Friday, 31-Dec-76 00:00:00 GMT"] = "31 Dec 1976 00:00:00",
            ["Saturday, 29-Feb-76 00:00:00 GMT"] = "29 Feb 2076 00:00:00",
        }) do
            assert.equal(date.parse(whole), date.parse(text, now), text)
        end
    end)

    it("is none when something is missing or does not exist", function()
        for _, text in ipairs({ "", "never", "06 Nov 1994", "08:49:37 06 1994", "Sun, 31 Feb 1994 08:49:37 GMT",
            "Sun, 00 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 1994 24:49:37 GMT", "Sun, 06 Nov 1994 08:60:37 GMT",
            "Sun, 06 Nov 1994 08:49:60 GMT", "Sun, 06 Nov 1600 08:49:37 GMT", "Sun, 06 Nov 19949 08:49:37 GMT",
            "Sun, 006 Nov 1994 08:49 GMT", "120" }) do
            assert.is_nil(date.parse(text), text)
        end
    end)
end)
