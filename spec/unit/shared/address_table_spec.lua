--- How many connections each address has, counted by several workers.

local core = require("spec.support.core")
local ffi = require("ffi")

core.declare("shared/address_table.h")
local lib = core.lib

describe("the table of addresses", function()
    local full

    local function address(number)
        local bytes = ffi.new("uint8_t[16]")
        bytes[10], bytes[11], bytes[12] = 255, 255, 10
        bytes[13], bytes[14], bytes[15] = math.floor(number / 65536), math.floor(number / 256) % 256, number % 256
        return bytes
    end

    before_each(function()
        full = ffi.gc(lib.address_table_new(4, 100), lib.address_table_free)
    end)

    it("counts an address over all seats", function()
        for seat = 0, 3 do
            assert.is_not.equal(0, lib.address_table_add(full, seat, address(1)))
        end
        lib.address_table_add(full, 0, address(2))
        assert.equal(4, lib.address_table_count(full, address(1)))
        assert.equal(1, lib.address_table_count(full, address(2)))
        assert.equal(0, lib.address_table_count(full, address(3)))
    end)

    it("forgets what has left, and uses its place again", function()
        for round = 1, 10000 do
            local place = lib.address_table_add(full, 1, address(round))
            assert.is_not.equal(0, place)
            assert.equal(1, lib.address_table_count(full, address(round)))
            lib.address_table_drop(full, 1, place)
            assert.equal(0, lib.address_table_count(full, address(round)))
        end
    end)

    it("forgets a seat whose worker was lost, and no other", function()
        lib.address_table_add(full, 1, address(1))
        lib.address_table_add(full, 2, address(1))
        lib.address_table_clear_seat(full, 1)
        assert.equal(1, lib.address_table_count(full, address(1)))
        assert.is_not.equal(0, lib.address_table_add(full, 1, address(1)))
        assert.equal(2, lib.address_table_count(full, address(1)))
    end)

    it("lets in whom it has no place for", function()
        local uncounted = 0
        for number = 1, 5000 do
            uncounted = uncounted + (lib.address_table_add(full, 0, address(number)) == 0 and 1 or 0)
        end
        assert.is_true(uncounted > 0)
        assert.is_true(lib.address_table_count(full, address(1)) <= 1)
        lib.address_table_drop(full, 0, 0)
    end)
end)
