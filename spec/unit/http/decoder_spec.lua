--- The codings of a body, as C undoes them: however it is cut, cut short, spoiled or blown up.

local coded = require("spec.support.coded")
local core = require("spec.support.core")
local ffi = require("ffi")

core.declare("http/decoder.h")
local lib = core.lib

local MORE, FULL, BAD = lib.DECODER_MORE, lib.DECODER_FULL, lib.DECODER_BAD
local LARGE = 1e9

local words = {}
for i = 1, 300 do
    words[i] = ("%d bottles of beer on the wall %d\n"):format(i * 7919 % 1000, i)
end
local TEXT = table.concat(words)

local function new(codings)
    local decoder = lib.decoder_new(core.str(codings))
    return decoder ~= nil and ffi.gc(decoder, lib.decoder_free) or nil
end

---Feeds `pieces`, taking `most` bytes of output at a time.
---@return string text
---@return string? wrong
local function decode(decoder, pieces, most)
    local out, parts = ffi.gc(ffi.new("struct buf"), lib.buf_deinit), {}
    for _, piece in ipairs(pieces) do
        local rest = ffi.new("struct str[1]")
        local anchor = core.str(piece)
        rest[0] = anchor
        local result
        repeat
            result = lib.decoder_run(decoder, rest, out, most or LARGE)
            parts[#parts + 1] = out.len > 0 and ffi.string(out.ptr, out.len) or ""
            assert.is_true(out.len <= (most or LARGE))
            out.len = 0
            if result == BAD then
                return table.concat(parts), ffi.string(lib.decoder_reason(decoder))
            end
        until result == MORE
        assert.equal(0, tonumber(rest[0].len))
    end
    if not lib.decoder_finish(decoder) then
        return table.concat(parts), ffi.string(lib.decoder_reason(decoder))
    end
    return table.concat(parts)
end

local function bytes_of(text)
    local bytes = {}
    for i = 1, #text do
        bytes[i] = text:sub(i, i)
    end
    return bytes
end

describe("a body in", function()
    for i, case in ipairs(coded.ALL) do
        local name, encode = case[1], case[2]
        local title = ("%s (%d)"):format(name, i)
        local short = TEXT:sub(1, 400)
        local wire = encode(short)

        it(title .. " is undone, whole and a byte at a time, whatever room there is", function()
            local large = encode(TEXT)
            for _, most in ipairs({ LARGE, 1, 7, 4096 }) do
                assert.equal(TEXT, (decode(new(name), { large }, most)))
                assert.equal(TEXT, (decode(new(name), bytes_of(large), most)))
            end
        end)

        it(title .. " is undone wherever it is cut", function()
            for at = 1, #wire - 1 do
                local text, wrong = decode(new(name), { wire:sub(1, at), wire:sub(at + 1) })
                assert.is_nil(wrong)
                assert.equal(short, text)
            end
        end)

        it(title .. " that is cut short is told, wherever that is", function()
            for at = 1, #wire - 1 do
                local _, wrong = decode(new(name), { wire:sub(1, at) })
                assert.matches("^malformed %S+ body: ", wrong, "cut at " .. at)
            end
        end)

        it(title .. " that is spoiled at any byte is told, or gives as many bytes as it may", function()
            for at = 1, #wire do
                local spoiled = wire:sub(1, at - 1) .. string.char(bit.bxor(wire:byte(at), 0x55)) .. wire:sub(at + 1)
                local text, wrong = decode(new(name), { spoiled })
                assert.is_true(wrong == nil or wrong:find("^malformed") ~= nil)
                -- Those with a checksum tell whatever it was.
                if wrong == nil and (name == "gzip" or name == "deflate") and encode ~= coded.raw_deflate then
                    assert.equal(short, text)
                end
            end
        end)

        it(title .. " with something behind it is told", function()
            for _, garbage in ipairs({ "\0", "x", "garbage of some length" }) do
                local _, wrong = decode(new(name), { wire .. garbage })
                assert.matches("^malformed %S+ body: ", wrong)
                _, wrong = decode(new(name), { wire, garbage })
                assert.matches("^malformed %S+ body: ", wrong)
            end
        end)

        it(title .. " of nothing is nothing, coded or not there at all", function()
            assert.same({ "" }, { decode(new(name), { encode("") }) })
            assert.same({ "" }, { decode(new(name), {}) })
        end)

        it(title .. " gives no more at a time than there is room for, however much it becomes", function()
            local decoder, out = new(name), ffi.gc(ffi.new("struct buf"), lib.buf_deinit)
            local bomb, rest, total, turns = encode(("\0"):rep(8 * 1024 * 1024)), ffi.new("struct str[1]"), 0, 0
            local anchor = core.str(bomb)
            rest[0] = anchor
            repeat
                local result = lib.decoder_run(decoder, rest, out, 65536)
                assert.is_true(out.len <= 65536 and out.cap <= 131072)
                total, turns = total + tonumber(out.len), turns + 1
                out.len = 0
            until result ~= FULL
            assert.equal(8 * 1024 * 1024, total)
            assert.is_true(turns >= 128)
        end)
    end

    it("gzip of several members, or zstd of several frames, is one body", function()
        for name, encode in pairs({ gzip = coded.gzip, zstd = coded.zstd }) do
            local wire = encode("one ") .. encode("two ") .. encode("") .. encode("three")
            assert.equal("one two three", (decode(new(name), { wire })))
            assert.equal("one two three", (decode(new(name), bytes_of(wire), 1)))
        end
    end)

    it("several codings is undone from the last to the first", function()
        local wire = coded.gzip(TEXT)
        assert.equal(TEXT, (decode(new("gzip, br"), { coded.br(wire) })))
        assert.equal(TEXT, (decode(new(" GZIP ,, identity , br "), bytes_of(coded.br(wire)), 3)))
        local deep = coded.deflate(coded.zstd(coded.br(wire)))
        assert.equal(TEXT, (decode(new("gzip, br, zstd, deflate"), { deep })))
        for at = 1, #deep - 1, 7 do
            local _, wrong = decode(new("gzip, br, zstd, deflate"), { deep:sub(1, at) })
            assert.matches("it ends too early", wrong)
        end
        local _, wrong = decode(new("gzip, br"), { coded.br(wire:sub(1, 100)) })
        assert.equal("malformed gzip body: it ends too early", wrong)
        _, wrong = decode(new("gzip, br"), { coded.br("no gzip at all") })
        assert.matches("^malformed gzip body: incorrect header check", wrong)
    end)

    it("codings that nobody knows, or in too many, is left as it is", function()
        for _, codings in ipairs({ "", "identity", "compress", "gzip, compress", "gzip;q=1",
            "gzip, gzip, gzip, gzip, gzip", "gzi", "gzipp", " , " }) do
            assert.is_nil(new(codings))
        end
    end)

    it("zstd with a window over 8 MiB is refused", function()
        -- A frame header with a window of 2^27 bytes, then a raw block.
        local _, wrong = decode(new("zstd"), { "\40\181\47\253\0\136\1\0\0" })
        assert.matches("^malformed zstd body: .*too much memory", wrong)
    end)
end)
