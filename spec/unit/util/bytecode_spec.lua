local bytecode = require("moonloop.util.bytecode")

local function factory_of(fn)
    return bytecode.factory(string.dump(fn), debug.getinfo(fn, "u").nups)
end

describe("a function made again from its bytecode", function()
    it("is the same closure each time when it has no upvalues", function()
        local make = factory_of(function(a, b)
            return a + b
        end)
        assert.equal(3, make()(1, 2))
        assert.equal(make(), make())
    end)

    it("is a new closure each time, with upvalues of its own, when it has some", function()
        local x, y = 1, 2
        local make = factory_of(function()
            y = y + x
            return y
        end)
        local first, second = make(), make()
        assert.is_nil((select(2, debug.getupvalue(first, 1))))
        for i = 1, 2 do
            debug.setupvalue(first, i, 10)
            debug.setupvalue(second, i, 1)
        end
        assert.same({ 20, 2, 30, 3 }, { first(), second(), first(), second() })
        assert.same({ 1, 2 }, { x, y })
    end)

    it("keeps inner functions, constants and the lines of its file", function()
        local base = 5
        local make = factory_of(function(list)
            local sum = 0
            for _, each in ipairs(list) do
                sum = sum + (function()
                    return each * base
                end)()
            end
            return sum, 0.25, "text", 7LL
        end)
        local fn = make()
        debug.setupvalue(fn, 1, 3)
        debug.setupvalue(fn, 2, 3)
        local sum, number, text, long = fn({ 1, 2 })
        assert.same({ 9, 0.25, "text", true }, { sum, number, text, long == 7LL })
        assert.matches("bytecode_spec.lua$", debug.getinfo(fn, "S").short_src)
        assert.equal("base", (debug.getupvalue(fn, 1)))
    end)

    it("is refused when the bytes are of an unknown format", function()
        assert.has_error(function()
            bytecode.factory("\27LJ\9....", 1)
        end, "bytecode of an unknown format")
    end)
end)
