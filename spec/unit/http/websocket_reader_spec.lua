--- http/websocket_reader: every case whole, in two pieces wherever it can be cut, and byte by byte.

local cases = require("spec.support.websocket_cases")
local core = require("spec.support.core")
local ffi = require("ffi")
local websocket = require("spec.support.websocket")

core.declare("http/websocket_coder.h")
core.declare("http/websocket_reader.h")

local lib = core.lib
local NAMES = {
    [tonumber(lib.WEBSOCKET_TEXT)] = "text", [tonumber(lib.WEBSOCKET_BINARY)] = "binary",
    [tonumber(lib.WEBSOCKET_PING)] = "ping", [tonumber(lib.WEBSOCKET_PONG)] = "pong",
}

local function new_reader(options)
    options = options or {}
    local reader = ffi.gc(ffi.new("struct websocket_reader"), lib.websocket_reader_deinit)
    lib.websocket_reader_init(reader, options.masked ~= false, options.max_message or 65536,
        options.max_frame or options.max_message or 65536)
    reader.coder = options.coder
    return reader
end

---Events of the pieces; as a connection does, what was not used is kept in front of the next piece.
local function events_of(pieces, options)
    local reader, events, left = new_reader(options), {}, ""
    local used, payload = ffi.new("size_t[1]"), ffi.new("struct str")
    for _, piece in ipairs(pieces) do
        left = left .. piece
        while true do
            local bytes = core.str(left) -- on the heap, to the byte: a sanitizer sees what reads beyond
            local ptr = ffi.cast("char *", bytes.ptr)
            local event = tonumber(lib.websocket_reader_next(reader, ptr, #left, used, payload))
            local text = payload.ptr ~= nil and ffi.string(payload.ptr, payload.len) or ""
            left = left:sub(tonumber(used[0]) + 1)
            if event == lib.WEBSOCKET_NOTHING then
                break
            elseif event == lib.WEBSOCKET_FAILED then
                events[#events + 1] = "fail:" .. reader.code
                assert.is_true(#ffi.string(reader.reason) > 10 and #ffi.string(reader.reason) <= 123)
                return events
            elseif event == lib.WEBSOCKET_CLOSE then
                events[#events + 1] = ("close:%d:%s"):format(reader.code, text)
                return events
            end
            events[#events + 1] = NAMES[event] .. ":" .. text
        end
    end
    return events
end

local function split(text, size)
    local pieces = {}
    for at = 1, #text, size do
        pieces[#pieces + 1] = text:sub(at, at + size - 1)
    end
    return pieces
end

local SHORT = 400 -- bytes; of longer ones only some cuts are tried

describe("a WebSocket's bytes", function()
    for _, case in ipairs(cases) do
        it("give the same events however they come: " .. case.name, function()
            assert.same(case.events, events_of({ case.bytes }))
            if #case.bytes <= SHORT then
                assert.same(case.events, events_of(split(case.bytes, 1)))
                for cut = 1, #case.bytes - 1 do
                    assert.same(case.events, events_of({ case.bytes:sub(1, cut), case.bytes:sub(cut + 1) }))
                end
            else
                for _, cut in ipairs({ 1, 2, 3, 4, 5, 7, 8, 9, 13, 14, 15, 1000, #case.bytes - 1 }) do
                    assert.same(case.events, events_of({ case.bytes:sub(1, cut), case.bytes:sub(cut + 1) }))
                end
                assert.same(case.events, events_of(split(case.bytes, 4093)))
            end
        end)
    end

    it("may hold a frame no longer than the limit of frames", function()
        local limit = { max_frame = 10 }
        assert.same({ "text:0123456789" }, events_of({ websocket.frame(websocket.TEXT, "0123456789") }, limit))
        assert.same({ "fail:1009" }, events_of({ websocket.frame(websocket.TEXT, "0123456789a") }, limit))
        assert.same({ "ping:0123456789a" }, events_of({ websocket.frame(websocket.PING, "0123456789a") }, limit))
    end)

    it("come without masks from a server, and not with them", function()
        local plain = { masked = false }
        assert.same({ "text:hi" }, events_of({ websocket.frame(websocket.TEXT, "hi", { masked = false }) }, plain))
        assert.same({ "fail:1002" }, events_of({ websocket.frame(websocket.TEXT, "hi") }, plain))
    end)

    it("leave no memory behind between two messages", function()
        local reader, used, payload = new_reader(), ffi.new("size_t[1]"), ffi.new("struct str")
        local frames = websocket.frame(websocket.TEXT, "a", { fin = false }) .. websocket.frame(0, ("b"):rep(50000))
        local bytes = core.str(frames)
        assert.equal(lib.WEBSOCKET_TEXT, tonumber(lib.websocket_reader_next(reader, ffi.cast("char *", bytes.ptr),
            #frames, used, payload)))
        assert.equal(50001, tonumber(payload.len))
        lib.websocket_reader_next(reader, ffi.cast("char *", bytes.ptr), 0, used, payload)
        assert.equal(0, tonumber(reader.message.cap))
    end)
end)

describe("heads of frames", function()
    it("are as short as they can be", function()
        local head = ffi.new("unsigned char[14]")
        local function write(len, mask)
            local size = lib.websocket_write_head(head, 0x81, len, mask)
            return ffi.string(head, size)
        end
        assert.equal("\129\5", write(5))
        assert.equal("\129\125", write(125))
        assert.equal("\129\126\0\126", write(126))
        assert.equal("\129\126\255\255", write(65535))
        assert.equal("\129\127\0\0\0\0\0\1\0\0", write(65536))
        assert.equal("\129\130\1\2\3\4", write(2, ffi.new("unsigned char[4]", { 1, 2, 3, 4 })))
    end)
end)

describe("permessage-deflate", function()
    local coder

    setup(function()
        coder = ffi.gc(lib.websocket_coder_new(), lib.websocket_coder_free)
    end)

    local function deflate(text)
        local out = ffi.new("struct buf")
        lib.websocket_coder_deflate(coder, core.str(text), out)
        local bytes = ffi.string(out.ptr, out.len)
        lib.buf_deinit(out)
        return bytes
    end

    local function compressed(text, options)
        options = options or {}
        options.rsv = 4
        return websocket.frame(options.opcode or websocket.TEXT, deflate(text), options)
    end

    it("is undone, whatever way it comes", function()
        for _, text in ipairs({ "", "hello", ("hello, κόσμε "):rep(50), ("x"):rep(60000) }) do
            local bytes = compressed(text) .. websocket.frame(websocket.TEXT, "plain") .. compressed(text)
            local wanted = { "text:" .. text, "text:plain", "text:" .. text }
            assert.same(wanted, events_of({ bytes }, { coder = coder }))
            assert.same(wanted, events_of(split(bytes, 1), { coder = coder }))
        end
    end)

    it("is undone of what came in fragments, with the bit in the first alone", function()
        local bytes = deflate(("hello "):rep(20))
        local frames = websocket.frame(websocket.TEXT, bytes:sub(1, 5), { rsv = 4, fin = false })
            .. websocket.frame(websocket.PING, "p")
            .. websocket.frame(websocket.CONTINUATION, bytes:sub(6))
        assert.same({ "ping:p", "text:" .. ("hello "):rep(20) }, events_of({ frames }, { coder = coder }))
        local wrong = websocket.frame(websocket.TEXT, bytes:sub(1, 5), { rsv = 4, fin = false })
            .. websocket.frame(websocket.CONTINUATION, bytes:sub(6), { rsv = 4 })
        assert.same({ "fail:1002" }, events_of({ wrong }, { coder = coder }))
    end)

    it("takes the example of RFC 7692 with a final block", function()
        local bytes = "\243\72\205\201\201\7\0\0" -- 7.2.3.4: "Hello" with BFINAL, and the empty block behind it
        assert.same({ "text:Hello" }, events_of({ websocket.frame(websocket.TEXT, bytes, { rsv = 4 }) },
            { coder = coder }))
    end)

    it("ends at the limit of a message: a bomb is 1009, not memory", function()
        local bomb = compressed(("\0"):rep(10 * 1024 * 1024), { opcode = websocket.BINARY })
        assert.is_true(#bomb < 20000)
        assert.same({ "fail:1009" }, events_of({ bomb }, { coder = coder }))
        local just = ("x"):rep(65536)
        assert.same({ "text:" .. just }, events_of({ compressed(just) }, { coder = coder }))
        assert.same({ "fail:1009" }, events_of({ compressed(just .. "x") }, { coder = coder }))
    end)

    it("of what is no deflate, cut off, or no UTF-8 is 1007", function()
        local cut = deflate(("hello, κόσμε "):rep(50))
        for _, bytes in ipairs({ "\255\255\255\255", "garbage that is none", cut:sub(1, #cut - 8) }) do
            assert.same({ "fail:1007" }, events_of({ websocket.frame(websocket.BINARY, bytes, { rsv = 4 }) },
                { coder = coder }))
        end
        assert.same({ "fail:1007" }, events_of({ compressed("bad \255 text") }, { coder = coder }))
    end)

    it("is refused where it was not agreed on, and in control frames", function()
        assert.same({ "fail:1002" }, events_of({ compressed("x") }))
        assert.same({ "fail:1002" }, events_of({ websocket.frame(websocket.PING, "", { rsv = 4 }) }, { coder = coder }))
    end)
end)
