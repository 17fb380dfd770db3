--- The types of the C modules are held to what they say.

describe("the types of", function()
    for _, name in ipairs({ "file", "http", "testing", "duplex" }) do
        it("moonloop.core." .. name .. " name what is there, and all of it", function()
            local documented, real = {}, {}
            for line in io.lines("lua/moonloop/meta/" .. name .. ".lua") do
                documented[line:match("^function core%.([%w_]+)") or line:match("^core%.([%w_]+) =") or 0] = true
            end
            documented[0] = nil
            for each in pairs(require("moonloop.core." .. name)) do
                real[each] = true
            end
            assert.same(documented, real)
        end)
    end
end)
