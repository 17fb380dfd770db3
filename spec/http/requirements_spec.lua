--- Every MUST and SHOULD of RFC 9110 and RFC 9112 that concerns an origin server has something that shows it
--- (spec/http/letter/requirements.lua), or a reason why it is not ours.

local evidence = require("spec.support.evidence")

local LEVELS = { MUST = true, ["MUST NOT"] = true, SHOULD = true, ["SHOULD NOT"] = true }
local REASONS = { "handler", "absent", "differs" }

---Names of all cases: "answers: HEAD has no body".
local function all_cases()
    local names = {}
    for path in io.popen("ls spec/http/letter/*.lua"):lines() do
        local file = path:match("([%w_]+)%.lua$")
        if file ~= "requirements" then
            for _, case in ipairs(dofile(path)) do
                names[file .. ": " .. case[1]] = true
            end
        end
    end
    return names
end

describe("a requirement of HTTP", function()
    local cases = all_cases()

    for i, entry in ipairs(dofile("spec/http/letter/requirements.lua")) do
        local rfc, level, what = entry[1], entry[2], entry[3]
        it(("%s %s: %s (%d)"):format(rfc, level, what, i), function()
            assert.matches("^91[01]%d %w[%w.]*$", rfc)
            assert.is_true(LEVELS[level], level)
            for _, name in ipairs(entry.cases or {}) do
                assert.is_true(cases[name], "there is no case " .. name)
            end
            for _, name in ipairs(entry.specs or {}) do
                assert.equal(nil, evidence.missing(name))
            end
            local has_reason = false
            for _, reason in ipairs(REASONS) do
                has_reason = has_reason or type(entry[reason]) == "string"
            end
            assert.is_true(has_reason or #(entry.cases or entry.specs or {}) > 0, "neither shown nor explained")
        end)
    end
end)
