local core = require("spec.support.core")
local ffi = require("ffi")

core.declare("shared/scoreboard.h")

local function describe_slot(slot, bytes)
    local text = ffi.new("char[?]", bytes or 512)
    core.lib.scoreboard_slot_describe(slot, text, bytes or 512)
    return ffi.string(text)
end

describe("the scoreboard", function()
    local board, slot

    before_each(function()
        board = ffi.gc(core.lib.scoreboard_new(3), core.lib.scoreboard_free)
        slot = core.lib.scoreboard_slot(board, 1)
    end)

    it("has a zeroed slot for each worker", function()
        assert.equal(3, core.lib.scoreboard_count(board))
        assert.equal(0, slot.pid)
        assert.equal("no route", describe_slot(slot))
    end)

    it("tells which route runs and which wait", function()
        core.lib.scoreboard_slot_name_route(slot, 0, core.str("GET /slow"))
        core.lib.scoreboard_slot_name_route(slot, 1, core.str("GET /sleep/{s}"))
        slot.running = 1
        slot.waiting[1] = 3
        assert.equal("GET /slow (running), GET /sleep/{s} x3 (waiting)", describe_slot(slot))
        slot.waiting[1] = 1
        slot.running = 0
        assert.equal("GET /sleep/{s} (waiting)", describe_slot(slot))
    end)

    it("cuts names and descriptions that do not fit", function()
        core.lib.scoreboard_slot_name_route(slot, 0, core.str(("x"):rep(200)))
        slot.running = 1
        assert.equal(("x"):rep(95) .. " (running)", describe_slot(slot))
        assert.equal(("x"):rep(15), describe_slot(slot, 16))
    end)

    it("leaves out routes beyond its size", function()
        core.lib.scoreboard_slot_name_route(slot, 5000, core.str("GET /far"))
        assert.equal(0, slot.nroutes)
        slot.running = 5001
        assert.equal("no route", describe_slot(slot))
    end)

    it("believes nothing that a mad worker wrote", function()
        slot.nroutes = 4000000000
        slot.running = 3999999999
        ffi.fill(slot.names, ffi.sizeof(slot.names), 0x41)
        slot.waiting[0] = 1
        assert.equal(("A"):rep(95) .. " (waiting)", describe_slot(slot))
    end)

    it("is clean again for the next worker", function()
        core.lib.scoreboard_slot_name_route(slot, 0, core.str("GET /"))
        slot.running, slot.requests = 1, 7
        core.lib.scoreboard_slot_clear(slot)
        assert.equal("no route", describe_slot(slot))
        assert.equal(0, tonumber(slot.requests))
    end)
end)
