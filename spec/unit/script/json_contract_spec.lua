local core = require("spec.support.core")
core.preload("moonloop.core.json")

local function read(path)
    local file = assert(io.open(core.root .. path, "rb"))
    local text = file:read("*a")
    file:close()
    return text
end

describe("the contract of JSON", function()
    it("has types for just what the C module holds", function()
        local meta, declared, real = read("lua/moonloop/meta/json.lua"), {}, {}
        for name in meta:gmatch("\nfunction core%.([%w_]+)") do
            declared[#declared + 1] = name
        end
        for name in meta:gmatch("\ncore%.([%w_]+) = ") do
            declared[#declared + 1] = name
        end
        for name in pairs(require("moonloop.core.json")) do
            real[#real + 1] = name
        end
        table.sort(declared)
        table.sort(real)
        assert.same(real, declared)
    end)

    it("is shown by examples in docs/json.md that run as they say", function()
        local json = require("moonloop.json")
        local block = read("docs/json.md"):match("```lua\n(.-)```")
        local checked = 0
        for line in block:gmatch("[^\n]+") do
            local code, expected = line:match("^(.-)%s+%-%-> (.*)$")
            code = code or line:gsub("%s*%-%-.*$", "")
            if code:find("^json%.") then
                local run = assert(loadstring("local json, value = ...; return " .. code))
                local result = run(json, { 1 })
                if expected then
                    assert.equal(expected, tostring(result))
                    checked = checked + 1
                end
            end
        end
        assert.equal(2, checked)
    end)
end)
