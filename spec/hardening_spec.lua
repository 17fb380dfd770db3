local command = require("spec.support.command")

--- A sanitized build has checks of its own instead.
local function is_sanitized()
    return command.run({ "sh", "-c", "nm -D " .. command.moonloop .. " | grep -q '__[at]san_init'" }).code == 0
end

describe("the binary", function()
    local function readelf(flags)
        local result = command.run({ "readelf", flags, command.moonloop })
        assert.equal(0, result.code, result.err)
        return result.out
    end

    if is_sanitized() then
        pending("is hardened when it is not sanitized")
        return
    end

    it("lies at another address each time, and no page of it is written and run", function()
        assert.matches("Type: +DYN", readelf("-hW"))
        local segments = readelf("-lW")
        assert.matches("GNU_STACK[^\n]* RW +0x", segments)
        assert.is_nil(segments:match("LOAD[^\n]* RWE "))
    end)

    it("has the tables of what it calls filled and made read-only before it begins", function()
        assert.matches("GNU_RELRO", readelf("-lW"))
        assert.matches("FLAGS%)[^\n]*BIND_NOW", readelf("-dW"))
    end)

    it("touches each page of a large frame in turn, so that none of them steps over the guard below a stack", function()
        if readelf("-hW"):find("X86-64", 1, true) then
            local probes = command.run({ "sh", "-c", "objdump -d --no-show-raw-insn " .. command.moonloop
                .. " | grep -c 'or[ql] *$0x0,(%rsp)'" })
            assert.is_true(tonumber(probes.out) > 20, probes.out)
        end
    end)

    it("notices when what lies behind an array on the stack was overwritten", function()
        assert.matches("__stack_chk_fail@", readelf("-sW"))
    end)

    it("notices when a buffer of known size is overrun", function()
        assert.matches("__%a+_chk@", readelf("-sW"))
    end)
end)
