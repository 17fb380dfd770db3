local ffi = require("ffi")
local core = require("spec.support.core")
core.declare("net/resolve_message.h")

local function number(value, bytes)
    local text = ""
    for _ = 1, bytes do
        text = string.char(value % 256) .. text
        value = math.floor(value / 256)
    end
    return text
end

local QUESTION = "\1a\4test\0" .. number(1, 2) .. number(1, 2)

local function record(kind, ttl, data)
    return "\192\12" .. number(kind, 2) .. number(1, 2) .. number(ttl, 4) .. number(#data, 2) .. data
end

local function soa(ttl, minimum)
    return record(6, ttl, "\2ns\192\12\3who\0" .. ("\0"):rep(16) .. number(minimum, 4))
end

local function message(answers, authorities)
    return number(77, 2) .. number(0x8183, 2) .. number(1, 2) .. number(#answers, 2) .. number(#authorities, 2)
        .. number(0, 2) .. QUESTION .. table.concat(answers) .. table.concat(authorities)
end

local function ttl(bytes)
    local copy = ffi.new("unsigned char[?]", math.max(#bytes, 1)) -- of its size, so that a sanitizer sees the end
    ffi.copy(copy, bytes, #bytes)
    return core.lib.message_negative_ttl(copy, #bytes)
end

describe("message_negative_ttl", function()
    it("is the smaller of the SOA's TTL and its last number", function()
        assert.equal(60, ttl(message({}, { soa(3600, 60) })))
        assert.equal(30, ttl(message({}, { soa(30, 900) })))
        assert.equal(0, ttl(message({}, { soa(0, 900) })))
    end)

    it("is looked for behind other records", function()
        assert.equal(5, ttl(message({ record(5, 100, "\1b\192\14") }, { record(2, 9, "\2ns\0"), soa(5, 900) })))
    end)

    it("is 0 when there is none", function()
        assert.equal(0, ttl(message({}, {})))
        assert.equal(0, ttl(message({}, { record(6, 60, "short") })))
    end)

    it("is 0 for what is cut off, at every byte", function()
        local whole = message({ record(5, 100, "\1b\192\14") }, { soa(5, 900) })
        for length = 0, #whole - 1 do
            assert.equal(0, ttl(whole:sub(1, length)))
        end
    end)

    it("does not read past the end of what is damaged", function()
        math.randomseed(7)
        local whole = message({ record(5, 100, "\1b\192\14") }, { soa(5, 900) })
        for _ = 1, 5000 do
            local bytes = { whole:byte(1, -1) }
            for _ = 1, 3 do
                bytes[math.random(#bytes)] = math.random(0, 255)
            end
            ttl(string.char(unpack(bytes)))
        end
    end)
end)
