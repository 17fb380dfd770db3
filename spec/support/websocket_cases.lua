--- What comes on a WebSocket and what has to be made of it (RFC 6455): a name, frames of a client as bytes, events.
--- An event is "text:…", "binary:…", "ping:…", "pong:…", "close:CODE:REASON" or "fail:CODE". Limits: messages of 65536
--- bytes.

local websocket = require("spec.support.websocket")

local TEXT, BINARY, CONTINUATION = websocket.TEXT, websocket.BINARY, websocket.CONTINUATION
local CLOSE, PING, PONG = websocket.CLOSE, websocket.PING, websocket.PONG

local cases = {}

local function case(name, frames, ...)
    local bytes = {}
    for i, frame in ipairs(frames) do
        bytes[i] = type(frame) == "string" and frame or websocket.frame(unpack(frame, 1, 3))
    end
    cases[#cases + 1] = { name = name, bytes = table.concat(bytes), events = { ... } }
end

local MORE = { fin = false }

-- ---- lengths (5.2) ----

for _, length in ipairs({ 0, 1, 125, 126, 127, 128, 65535, 65536 }) do
    local text = ("*"):rep(length)
    case(("a text of %d bytes"):format(length), { { TEXT, text } }, "text:" .. text)
    local bytes = ("\254"):rep(length)
    case(("%d bytes"):format(length), { { BINARY, bytes } }, "binary:" .. bytes)
end
case("a length of 125 in 16 bits", { { TEXT, ("*"):rep(125), { form = 16 } } }, "fail:1002")
case("a length of 126 in 64 bits", { { TEXT, ("*"):rep(126), { form = 64 } } }, "fail:1002")
case("a length of 65535 in 64 bits", { { TEXT, "", { form = 64, length = 65535 } } }, "fail:1002")
case("a length with the highest bit of 64", { { BINARY, "", { form = 64, length = 2 ^ 63 } } }, "fail:1002")
case("a message beyond the limit", { { BINARY, "", { length = 65537 } } }, "fail:1009")
case("a message far beyond the limit", { { BINARY, "", { length = 2 ^ 62, form = 64 } } }, "fail:1009")
case("fragments that are beyond the limit together",
    { { BINARY, ("x"):rep(40000), MORE }, { CONTINUATION, "", { length = 25537 } } }, "fail:1009")
case("fragments that just fit", { { BINARY, ("x"):rep(40000), MORE }, { CONTINUATION, ("y"):rep(25536) } },
    "binary:" .. ("x"):rep(40000) .. ("y"):rep(25536))

-- ---- pings and pongs (5.5.2, 5.5.3) ----

case("a ping without a payload", { { PING } }, "ping:")
case("a ping with a payload", { { PING, "hello" } }, "ping:hello")
case("a ping of any bytes", { { PING, "\0\255\254\253" } }, "ping:\0\255\254\253")
case("a ping of 125 bytes", { { PING, ("p"):rep(125) } }, "ping:" .. ("p"):rep(125))
case("a ping of 126 bytes", { { PING, ("p"):rep(126) } }, "fail:1002")
case("a pong nobody asked for", { { PONG, "x" }, { PING, "y" } }, "pong:x", "ping:y")
case("ten pings", { { PING, "1" }, { PING, "2" }, { PING, "3" } }, "ping:1", "ping:2", "ping:3")

-- ---- reserved bits and opcodes (5.2) ----

for rsv = 1, 7 do
    case(("reserved bits %d"):format(rsv), { { TEXT, "a" }, { TEXT, "hello", { rsv = rsv } } }, "text:a", "fail:1002")
end
case("reserved bits in a ping", { { PING, "", { rsv = 4 } } }, "fail:1002")
case("reserved bits in a close", { { CLOSE, "", { rsv = 1 } } }, "fail:1002")
for _, opcode in ipairs({ 3, 4, 5, 6, 7, 11, 12, 13, 14, 15 }) do
    case(("opcode %d"):format(opcode), { { TEXT, "a" }, { opcode, "" } }, "text:a", "fail:1002")
    case(("opcode %d with a payload"):format(opcode), { { opcode, "x" } }, "fail:1002")
end

-- ---- masks (5.1) ----

case("a text without a mask", { { TEXT, "hello", { masked = false } } }, "fail:1002")
case("a ping without a mask", { { PING, "", { masked = false } } }, "fail:1002")

-- ---- fragments (5.4) ----

case("a text in two fragments", { { TEXT, "hel", MORE }, { CONTINUATION, "lo" } }, "text:hello")
case("bytes in four fragments, some empty", { { BINARY, "", MORE }, { CONTINUATION, "a", MORE },
    { CONTINUATION, "", MORE }, { CONTINUATION, "b" } }, "binary:ab")
case("only empty fragments", { { TEXT, "", MORE }, { CONTINUATION, "", MORE }, { CONTINUATION, "" } }, "text:")
case("an empty last fragment", { { TEXT, "abc", MORE }, { CONTINUATION, "" } }, "text:abc")
case("a ping within a message", { { TEXT, "hel", MORE }, { PING, "p" }, { CONTINUATION, "lo" } }, "ping:p",
    "text:hello")
case("pings and pongs between all fragments", { { TEXT, "a", MORE }, { PING, "1" }, { CONTINUATION, "b", MORE },
    { PONG, "" }, { PING, "2" }, { CONTINUATION, "c" }, { PING, "3" } },
    "ping:1", "pong:", "ping:2", "text:abc", "ping:3")
case("a close within a message", { { TEXT, "hel", MORE }, { CLOSE, websocket.close_payload(1000) } }, "close:1000:")
case("a ping in fragments", { { PING, "a", MORE }, { CONTINUATION, "b" } }, "fail:1002")
case("a close in fragments", { { CLOSE, "", MORE } }, "fail:1002")
case("a continuation of nothing", { { CONTINUATION, "x" } }, "fail:1002")
case("a continuation of nothing that goes on", { { CONTINUATION, "x", MORE } }, "fail:1002")
case("a continuation behind a whole message", { { TEXT, "a" }, { CONTINUATION, "b" } }, "text:a", "fail:1002")
case("a message within another", { { TEXT, "a", MORE }, { TEXT, "b" } }, "fail:1002")
case("another kind within a message", { { TEXT, "a", MORE }, { BINARY, "b", MORE } }, "fail:1002")
case("two messages in fragments", { { TEXT, "a", MORE }, { CONTINUATION, "b" }, { BINARY, "c", MORE },
    { CONTINUATION, "d" } }, "text:ab", "binary:cd")

-- ---- UTF-8 (8.1, RFC 3629) ----

local GOOD = {
    "κόσμε", "\194\128", "\223\191", "\224\160\128", "\237\159\191", "\238\128\128", "\239\191\191", "\239\191\189",
    "\240\144\128\128", "\244\143\191\191", "\0", "\127", "a\194\162b\226\130\172c\240\159\152\128d",
}
for _, text in ipairs(GOOD) do
    case(("UTF-8 %q"):format(text), { { TEXT, text } }, "text:" .. text)
    local first, rest = text:sub(1, 1), text:sub(2)
    case(("UTF-8 %q, cut behind its first byte"):format(text), { { TEXT, first, MORE }, { CONTINUATION, rest } },
        "text:" .. text)
end
local BAD = {
    "\128", "\191", "\128\191\128", "\194", "\224\160", "\240\144\128", "\192\128", "\192\175", "\193\191",
    "\224\128\128", "\224\159\191", "\240\128\128\128", "\240\143\191\191", "\244\144\128\128", "\245\128\128\128",
    "\248\136\128\128\128", "\252\132\128\128\128\128", "\254", "\255", "\237\160\128", "\237\191\191",
    "\237\160\128\237\176\128", "\194\65", "\226\130\65", "\240\159\152\65", "a\194", "κόσμε\237\160\128edited",
}
for _, text in ipairs(BAD) do
    case(("no UTF-8 %q"):format(text), { { TEXT, text } }, "fail:1007")
    case(("no UTF-8 %q in fragments"):format(text), { { TEXT, text:sub(1, 1), MORE },
        { CONTINUATION, text:sub(2), MORE }, { CONTINUATION, "" } }, "fail:1007")
    case(("any bytes %q"):format(text), { { BINARY, text } }, "binary:" .. text)
end
case("no UTF-8 is noticed before its message is complete", { { TEXT, "ok\255", MORE } }, "fail:1007")
case("no UTF-8 is noticed before its frame is complete", { { TEXT, "ok\255", { length = 1000 } } }, "fail:1007")
case("half a character at the end of a text in fragments", { { TEXT, "a", MORE }, { CONTINUATION, "\226\130" } },
    "fail:1007")

-- ---- closes (5.5.1, 7.4) ----

case("a close without a code", { { CLOSE } }, "close:1005:")
case("a close with one byte", { { CLOSE, "\3" } }, "fail:1002")
case("a close with a reason", { { CLOSE, websocket.close_payload(1000, "bye κ") } }, "close:1000:bye κ")
case("a close with the longest reason", { { CLOSE, websocket.close_payload(1000, ("r"):rep(123)) } },
    "close:1000:" .. ("r"):rep(123))
case("a close that is too long", { { CLOSE, websocket.close_payload(1000, ("r"):rep(124)) } }, "fail:1002")
case("a close whose reason is no UTF-8",
    { { CLOSE, websocket.close_payload(1000, "\206\186\225\189\185\237\160\128") } }, "fail:1007")
case("what follows a close is not looked at", { { CLOSE, websocket.close_payload(1001) }, { TEXT, "x" }, { 15, "" } },
    "close:1001:")
for _, code in ipairs({ 1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000,
    4999 }) do
    case(("close code %d"):format(code), { { CLOSE, websocket.close_payload(code) } }, ("close:%d:"):format(code))
end
for _, code in ipairs({ 0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535 }) do
    case(("close code %d, which may not be sent"):format(code), { { CLOSE, websocket.close_payload(code) } },
        "fail:1002")
end

return cases
