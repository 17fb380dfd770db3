--- The keys of TLS session tickets that workers share.

local core = require("spec.support.core")
local ffi = require("ffi")

core.declare("shared/ticket_keys.h")
local lib = core.lib

describe("the keys of tickets", function()
    local keys, key, is_newest

    before_each(function()
        keys = ffi.gc(lib.ticket_keys_new(), lib.ticket_keys_free)
        key = ffi.new("uint8_t[80]")
        is_newest = ffi.new("bool[1]")
    end)

    ---The newest key, or the one of that name; nil when there is none.
    local function find(name)
        local found = lib.ticket_keys_find(keys, name and ffi.cast("const uint8_t *", name) or nil, key, is_newest)
        return found and ffi.string(key, 80) or nil
    end

    it("begin with one, which is random", function()
        local other = ffi.gc(lib.ticket_keys_new(), lib.ticket_keys_free)
        local first = find()
        assert.is_true(is_newest[0])
        assert.equal(first, find(first:sub(1, 16)))
        assert.is_true(lib.ticket_keys_find(other, nil, key, is_newest))
        assert.is_not.equal(first, ffi.string(key, 80))
        assert.is_nil(find(("x"):rep(16)))
        assert.is_nil(find(("\0"):rep(16)))
    end)

    it("stay for two turns, and seal tickets for one", function()
        local first = find()
        assert.equal(0, lib.ticket_keys_turn(keys))
        local second = find()
        assert.is_not.equal(first, second)
        assert.equal(first, find(first:sub(1, 16)))
        assert.is_false(is_newest[0])
        assert.equal(0, lib.ticket_keys_turn(keys))
        assert.equal(first, find(first:sub(1, 16)))
        assert.equal(0, lib.ticket_keys_turn(keys))
        assert.is_nil(find(first:sub(1, 16)))
        assert.equal(second, find(second:sub(1, 16)))
    end)
end)
