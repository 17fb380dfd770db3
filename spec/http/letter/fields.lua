--- Fields that an origin server has to understand, or to ignore.

local GET = "GET /good HTTP/1.1\r\nHost: a\r\n"
local POST = "POST /json HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"

local function ignored(name, fields, rfc)
    return { name .. " is ignored", rfc = rfc, keeps = true, answers = { 200 }, bodies = { "good" },
        request = GET .. fields .. "\r\n\r\n" }
end

return {
    ignored("a field that nobody knows", "X-Unknown: y", "9110 5.1"),
    ignored("a Range of bytes on what has none", "Range: bytes=0-1", "9110 14.2"),
    ignored("a Range in a unit that nobody knows", "Range: apples=0-1", "9110 14.2"),
    ignored("a malformed Range", "Range: bytes=x", "9110 14.2"),
    ignored("If-Range without Range", 'If-Range: "a"', "9110 13.1.5"),
    ignored("a malformed date in If-Modified-Since", "If-Modified-Since: yesterday", "9110 13.1.3"),
    ignored("a malformed date in If-Unmodified-Since", "If-Unmodified-Since: yesterday", "9110 13.1.4"),
    ignored("Max-Forwards of GET", "Max-Forwards: 0", "9110 7.6.2"),
    ignored("Upgrade to what nobody speaks", "Connection: upgrade\r\nUpgrade: tea/1.0", "9110 7.8"),
    ignored("Upgrade without a Connection option", "Upgrade: tea/1.0", "9110 7.8"),
    ignored("TE", "TE: gzip, trailers", "9110 10.1.4"),
    ignored("Trailer without a body", "Trailer: X-Sum", "9110 6.6.2"),
    ignored("Proxy-Connection", "Proxy-Connection: close", "9112 C.2.2"),
    ignored("Keep-Alive", "Keep-Alive: timeout=1, max=1", "9112 C.2.2"),
    ignored("a Date of a client", "Date: tomorrow", "9110 6.6.1"),
    { "Upgrade in HTTP/1.0 is ignored", rfc = "9110 7.8", answers = { 200 }, bodies = { "good" },
        request = "GET /good HTTP/1.0\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n" },
    { "Upgrade to h2c is not taken", rfc = "9110 7.8", keeps = true, answers = { 200 }, bodies = { "good" },
        request = GET .. "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n" },
    { "names of fields in any case", rfc = "9110 5.1", keeps = true, answers = { 200 }, bodies = { "{\"a\":1}" },
        request = "POST /echo HTTP/1.1\r\nhOST: a\r\ncONTENT-lENGTH: 7\r\n\r\n{\"a\":1}" },
    { "fields of one name in their order", rfc = "9110 5.3", keeps = true, answers = { 200 }, bodies = { "1, 2, 3" },
        request = "GET /field HTTP/1.1\r\nHost: a\r\nX: 1\r\nx: 2\r\nX: 3\r\n\r\n" },
    { "blanks and tabs around a value are no part of it", rfc = "9110 5.5", keeps = true, answers = { 200 },
        bodies = { "y z" }, request = "GET /field HTTP/1.1\r\nHost: a\r\nX: \t y z \t \r\n\r\n" },
    { "a body without Content-Type", rfc = "9110 8.3", keeps = true, answers = { 200 }, bodies = { "hello" },
        request = "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello" },
    { "a coded body that has to be understood", rfc = "9110 15.5.16", keeps = true, answers = { 415 },
        headers = { { ["accept-encoding"] = "identity" } },
        request = POST .. "Content-Encoding: gzip\r\nContent-Length: 7\r\n\r\n{\"a\":1}" },
    { "a body in identity", rfc = "9110 12.5.3", keeps = true, answers = { 200 }, bodies = { "1" },
        request = POST .. "Content-Encoding: identity\r\nContent-Length: 7\r\n\r\n{\"a\":1}" },
    { "a coded body that is taken as it is", rfc = "9110 8.4", keeps = true, answers = { 200 }, bodies = { "hello" },
        request = "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Encoding: gzip\r\nContent-Length: 5\r\n\r\nhello" },
}
