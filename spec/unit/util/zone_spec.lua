local calendar = require("moonloop.util.calendar")
local zone = require("moonloop.util.zone")

local function read(name)
    local file = assert(io.open("/usr/share/zoneinfo/" .. name, "rb"), name .. " is not in tzdata")
    local bytes = file:read("*a")
    file:close()
    return bytes
end

--- What `date` of the system shows for these times, one line each.
local function shown_by_system(name, times)
    local path = os.tmpname()
    local file = assert(io.open(path, "w"))
    for _, time in ipairs(times) do
        file:write("@", ("%d"):format(time), "\n")
    end
    file:close()
    local pipe = assert(io.popen(("TZ=%s date -f %s '+%%Y-%%m-%%d %%H:%%M:%%S'"):format(name, path)))
    local lines = {}
    for line in pipe:lines() do
        lines[#lines + 1] = line
    end
    pipe:close()
    os.remove(path)
    return lines
end

local NAMES = {
    "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata", "Europe/Dublin", "America/Sao_Paulo",
    "Africa/Casablanca", "Pacific/Apia", "America/Caracas", "Antarctica/Troll", "Asia/Tehran", "America/Nuuk",
    "Etc/UTC",
}

describe("a time zone", function()
    for _, name in ipairs(NAMES) do
        it("shows the same as the system for " .. name .. ", in the past and long after its list ends", function()
            local its_zone, times = zone.parse(name, read(name)), {}
            for time = -2000000000, 4000000000, 86400 * 29 + 3600 * 5 + 1800 do
                times[#times + 1] = time
            end
            local lines = shown_by_system(name, times)
            assert.equal(#times, #lines)
            for i, time in ipairs(times) do
                assert.equal(lines[i], its_zone:text(time))
            end
        end)
    end

    it("tells from when to when an offset rules", function()
        local berlin = zone.parse("Europe/Berlin", read("Europe/Berlin"))
        local spring, autumn = calendar.seconds(2045, 3, 26, 1), calendar.seconds(2045, 10, 29, 1)
        assert.same({ 7200, spring, autumn, 3600 }, { berlin:at(spring) })
        assert.same({ 7200, spring, autumn, 3600 }, { berlin:at(autumn - 1) })
        assert.same({ 3600, autumn, calendar.seconds(2046, 3, 25, 1), 7200 }, { berlin:at(autumn) })
        local offset, since = zone.parse("UTC", read("Etc/UTC")):at(0)
        assert.same({ 0, -math.huge }, { offset, since })
    end)

    it("is the same by its rule as by its list", function()
        for name, rule in pairs({
            ["Europe/Berlin"] = "CET-1CEST,M3.5.0,M10.5.0/3", ["America/New_York"] = "EST5EDT,M3.2.0,M11.1.0",
            ["Australia/Lord_Howe"] = "<+1030>-10:30<+11>-11,M10.1.0,M4.1.0", ["Asia/Kolkata"] = "IST-5:30",
        }) do
            local listed, ruled = zone.parse(name, read(name)), zone.from_rule(rule)
            for time = calendar.seconds(2009, 1, 1), calendar.seconds(2060, 1, 1), 86400 * 5 + 1800 do
                assert.equal(listed:text(time), ruled:text(time))
            end
        end
    end)

    it("understands days of the year, with and without the leap day, and summer time all year", function()
        local julian = zone.from_rule("AAA0BBB,J60,J300")
        assert.equal(3600, (julian:at(calendar.seconds(2024, 3, 1, 2))))
        assert.equal(0, (julian:at(calendar.seconds(2024, 3, 1, 1, 59, 59))))
        local zero_based = zone.from_rule("AAA0BBB,59/0,300/0")
        assert.equal(3600, (zero_based:at(calendar.seconds(2024, 2, 29))))
        assert.equal(0, (zero_based:at(calendar.seconds(2023, 2, 28, 23))))
        local always = zone.from_rule("XXX3EDT4,0/0,J365/23")
        assert.equal(-14400, (always:at(calendar.seconds(2030, 7, 1))))
    end)

    it("refuses what is no rule and what is no file", function()
        for _, text in ipairs({ "", "CET", "CET-1CEST,M3.5.0", "CET-1CEST,M13.5.0,M10.5.0", "C-1", "CET-1x" }) do
            assert.has_error(function() zone.from_rule(text) end, ("%q is no rule of a time zone"):format(text))
        end
        assert.has_error(function() zone.parse("x", "TZi") end, "it is no TZif file")
        assert.has_error(function() zone.parse("x", read("Europe/Berlin"):sub(1, 500)) end)
    end)
end)
