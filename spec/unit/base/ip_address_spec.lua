--- Addresses and networks: what is one, and what lies in which.

local core = require("spec.support.core")
local ffi = require("ffi")

core.declare("base/ip_address.h")
local lib = core.lib

local function shown(text)
    local address, out = ffi.new("struct ip_address"), ffi.new("char[46]")
    if not lib.ip_address_read(address, core.str(text)) then
        return nil
    end
    return ffi.string(out, lib.ip_address_show(address, out))
end

describe("an IP address", function()
    it("is read and shown, IPv4 within IPv6 as IPv4", function()
        for text, expected in pairs({
            ["127.0.0.1"] = "127.0.0.1", ["::1"] = "::1", ["2001:DB8:0:0::0:1"] = "2001:db8::1",
            ["::ffff:1.2.3.4"] = "1.2.3.4", ["::"] = "::", ["255.255.255.255"] = "255.255.255.255",
        }) do
            assert.equal(expected, shown(text))
        end
    end)

    it("is nothing else", function()
        for _, text in ipairs({ "", "1.2.3", "1.2.3.4.5", "1.2.3.256", "01.2.3.4 ", "::1%eth0", "[::1]", "1.2.3.4:80",
            "localhost", "1.2.3.4\0", ("1"):rep(46), ":::", "12345::" }) do
            assert.is_nil(shown(text), text)
        end
    end)
end)

describe("a list of networks", function()
    local function has(list, text)
        local networks = ffi.gc(ffi.new("struct ip_networks"), lib.ip_networks_deinit)
        local address = ffi.new("struct ip_address")
        local is_good = lib.ip_networks_read(networks, list)
        assert(lib.ip_address_read(address, core.str(text)))
        return lib.ip_networks_have(networks, address), is_good
    end

    for _, case in ipairs({
        { "127.0.0.1", "127.0.0.1", true }, { "127.0.0.1", "127.0.0.2", false },
        { "127.0.0.1", "::ffff:127.0.0.1", true }, { "::ffff:127.0.0.1", "127.0.0.1", true },
        { "10.0.0.0/8", "10.255.255.255", true }, { "10.0.0.0/8", "11.0.0.0", false },
        { "10.1.2.3/8", "10.9.9.9", true }, { "10.0.0.0/9", "10.127.0.0", true }, { "10.0.0.0/9", "10.128.0.0", false },
        { "0.0.0.0/0", "1.2.3.4", true }, { "0.0.0.0/0", "::1", false }, { "::/0", "::1", true },
        { "::/0", "1.2.3.4", true }, { "10.0.0.1/32", "10.0.0.1", true }, { "10.0.0.1/32", "10.0.0.0", false },
        { "fd00::/8", "fdff::1", true }, { "fd00::/8", "fe00::1", false }, { "::1/128", "::1", true },
        { "1.1.1.1, 2.2.2.0/24,::1", "2.2.2.9", true }, { "1.1.1.1, 2.2.2.0/24,::1", "::1", true },
        { "*", "1.2.3.4", true }, { "1.1.1.1,*", "::9", true }, { "", "127.0.0.1", false },
    }) do
        it(("%q %s %s"):format(case[1], case[3] and "has" or "has not", case[2]), function()
            local is_within, is_good = has(case[1], case[2])
            assert.equal(case[3], is_within)
            assert.is_true(is_good)
        end)
    end

    it("says when something in it is none, and keeps the rest", function()
        for _, list in ipairs({ "127.0.0.1, 10.0.0.0/33", "x,127.0.0.1", "127.0.0.1,::1/129", "127.0.0.1,1.2.3.4/",
            "127.0.0.1,1.2.3.4/8/8", "127.0.0.1,1.2.3.4/99999999999999999999" }) do
            assert.same({ true, false }, { has(list, "127.0.0.1") }, list)
        end
        assert.is_false((has("10.0.0.0/33", "10.0.0.0")))
    end)
end)
