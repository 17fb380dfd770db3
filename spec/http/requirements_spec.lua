--- Every MUST and SHOULD of RFC 9110 and RFC 9112 that concerns an origin server or a gateway has something that shows
--- it (spec/http/letter/requirements), or a reason why it is not ours.

local evidence = require("spec.support.evidence")

local LEVELS = { MUST = true, ["MUST NOT"] = true, SHOULD = true, ["SHOULD NOT"] = true, ought = true }
local REASONS = { "handler", "absent", "differs" }
local TABLES = { "messages", "semantics", "gateway" }

---Names of all cases: "answers: HEAD has no body".
local function all_cases()
    local names = {}
    for path in io.popen("ls spec/http/letter/*.lua"):lines() do
        local file = path:match("([%w_]+)%.lua$")
        for _, case in ipairs(dofile(path)) do
            names[file .. ": " .. case[1]] = true
        end
    end
    return names
end

local function has_reason(entry)
    for _, reason in ipairs(REASONS) do
        if type(entry[reason]) == "string" then
            return true
        end
    end
    return false
end

---Sections as numbers, so that 9.10 is behind 9.2: "9110 9.3.1" is { 9110, 9, 3, 1 }; appendices are behind all.
local function place_of(rfc)
    local place = {}
    for part in rfc:gmatch("%w+") do
        place[#place + 1] = tonumber(part) or 1000 + part:byte()
    end
    return place
end

local function is_before(a, b)
    for i = 1, math.max(#a, #b) do
        if (a[i] or 0) ~= (b[i] or 0) then
            return (a[i] or 0) < (b[i] or 0)
        end
    end
    return false
end

local cases = all_cases()

for _, name in ipairs(TABLES) do
    describe("a requirement of HTTP, of " .. name, function()
        local entries = dofile("spec/http/letter/requirements/" .. name .. ".lua")

        for i, entry in ipairs(entries) do
            local rfc, level, what = entry[1], entry[2], entry[3]
            it(("%s %s: %s (%d)"):format(rfc, level, what, i), function()
                assert.matches("^91[01]%d %w[%w.]*$", rfc)
                assert.is_true(LEVELS[level], level)
                for _, case in ipairs(entry.cases or {}) do
                    assert.is_true(cases[case], "there is no case " .. case)
                end
                for _, example in ipairs(entry.specs or {}) do
                    assert.equal(nil, evidence.missing(example))
                end
                local is_shown = #(entry.cases or {}) + #(entry.specs or {}) > 0
                assert.is_true(is_shown ~= has_reason(entry), "neither shown nor explained, or both")
            end)
        end

        it("are in the order of their sections", function()
            for i = 2, #entries do
                local place, before = place_of(entries[i][1]), place_of(entries[i - 1][1])
                assert.is_false(place[1] == before[1] and is_before(place, before), entries[i][3])
            end
        end)
    end)
end
