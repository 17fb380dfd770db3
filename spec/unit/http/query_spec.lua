local ffi = require("ffi")
local core = require("spec.support.core")
core.declare("http/query.h")
local lib, str, text = core.lib, core.str, core.text

local PLAIN, FORM = 0, 1

local function decode(source, mode)
    local out = ffi.new("char[?]", #source + 1)
    return ffi.string(out, lib.percent_decode(out, str(source), mode))
end

local function collect(fn, ...)
    local buf = ffi.gc(ffi.new("struct buf"), lib.buf_deinit)
    fn(buf, ...)
    return ffi.string(buf.ptr, buf.len)
end

local function pairs_of(query)
    local cursor, out, anchor = ffi.new("struct query_cursor"), {}, str(query)
    lib.query_begin(cursor, anchor)
    while lib.query_next(cursor) do
        local piece = text(cursor.name) .. (cursor.has_value and "=" .. text(cursor.value) or "")
        out[#out + 1] = (cursor.needs_decoding and "%" or "") .. piece
    end
    assert.is_false(lib.query_next(cursor))
    assert.equal(#query, tonumber(anchor.len)) -- the cursor borrows from it
    return out
end

local function cookies(header)
    local cursor, out, anchor = ffi.new("struct cookie_cursor"), {}, str(header)
    lib.cookie_begin(cursor, anchor)
    while lib.cookie_next(cursor) do
        out[#out + 1] = text(cursor.name) .. "=" .. text(cursor.value)
    end
    assert.equal(#header, tonumber(anchor.len)) -- the cursor borrows from it
    return out
end

describe("percent-encoding", function()
    it("decodes both cases of digits and leaves broken escapes alone", function()
        assert.equal("Jé /", decode("J%c3%A9%20%2F", PLAIN))
        assert.equal("a+b", decode("a+b", PLAIN))
        assert.equal("a b+", decode("a+b%2B", FORM))
        assert.equal("%", decode("%", PLAIN))
        assert.equal("%4", decode("%4", PLAIN))
        assert.equal("%zz%A", decode("%zz%%41", PLAIN))
        assert.equal("\0", decode("%00", PLAIN))
        assert.is_true(lib.percent_is_valid(str("%20a%fF")))
        assert.is_false(lib.percent_is_valid(str("%2")))
        assert.is_false(lib.percent_is_valid(str("a%%41")))
    end)

    it("encodes all but unreserved characters", function()
        assert.equal("aZ09-._~%20%2F%C3%A9%00%2B", collect(lib.percent_add, str("aZ09-._~ /é\0+"), PLAIN))
        assert.equal("a+b%2B%26", collect(lib.percent_add, str("a b+&"), FORM))
    end)

    it("gives back every byte after encoding and decoding", function()
        local all = {}
        for byte = 0, 255 do
            all[#all + 1] = string.char(byte)
        end
        all = table.concat(all)
        assert.equal(all, decode(collect(lib.percent_add, str(all), PLAIN), PLAIN))
        assert.equal(all, decode(collect(lib.percent_add, str(all), FORM), FORM))
    end)
end)

describe("query cursor", function()
    it("hands out pairs in order, repeated names included", function()
        assert.same({ "a=1", "%b=%20+x", "a=2" }, pairs_of("a=1&b=%20+x&a=2"))
    end)

    it("tells an empty value from none and leaves out empty pieces", function()
        assert.same({ "a", "b=", "=c", "d==e=" }, pairs_of("&a&&b=&=c&d==e=&"))
        assert.same({}, pairs_of(""))
        assert.same({}, pairs_of("&&&"))
        assert.same({ "=" }, pairs_of("="))
    end)
end)

describe("cookie cursor", function()
    it("reads what browsers send", function()
        assert.same({ "a=1", "b=x=y", "sid=q q" }, cookies('a=1; b=x=y; sid="q q"'))
    end)

    it("is lenient", function()
        assert.same({ "a=1", "b=2", "c=", "d=\"" }, cookies(' a = 1 ;b=2;;flag; =x;c=;\td="; '))
        assert.same({}, cookies(""))
    end)
end)
