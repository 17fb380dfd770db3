--- Versions of the protocol in a request line, and what they change.

local function get(version, fields)
    return "GET /good HTTP/" .. version .. "\r\n" .. (fields or "Host: a\r\n") .. "\r\n"
end

local function malformed(name, version)
    return { name, rfc = "9112 2.3", answers = { 400 }, request = get(version) }
end

return {
    { "HTTP/1.2 is answered as HTTP/1.1", rfc = "9110 2.5", keeps = true, answers = { 200 }, bodies = { "good" },
        request = get("1.2") },
    { "HTTP/1.9 is answered as HTTP/1.1", rfc = "9110 2.5", keeps = true, answers = { 200 }, request = get("1.9") },
    { "HTTP/1.2 needs Host as HTTP/1.1 does", rfc = "9112 3.2", answers = { 400 }, request = get("1.2", "") },
    { "HTTP/1.2 with a body in chunks", rfc = "9110 2.5", keeps = true, answers = { 200 }, bodies = { "hello" },
        request = "POST /echo HTTP/1.2\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n" },
    { "HTTP/1.2 is answered in chunks", rfc = "9110 2.5", keeps = true, answers = { 200 },
        bodies = { "one two three" }, headers = { { ["transfer-encoding"] = "chunked" } },
        request = "GET /stream HTTP/1.2\r\nHost: a\r\n\r\n" },
    { "HTTP/2.0 in a request line", rfc = "9110 15.6.6", answers = { 505 },
        request = "GET /good HTTP/2.0\r\nHost: a\r\n\r\n" },
    { "HTTP/3.0 in a request line", rfc = "9110 15.6.6", answers = { 505 },
        request = "GET /good HTTP/3.0\r\nHost: a\r\n\r\n" },
    { "HTTP/0.9 in a request line", rfc = "9110 15.6.6", answers = { 505 },
        request = "GET /good HTTP/0.9\r\nHost: a\r\n\r\n" },
    { "the preface of HTTP/2", rfc = "9113 3.4", answers = { 505 },
        request = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" },
    { "HTTP/2.0 behind another body", rfc = "9110 15.6.6", answers = { 505 },
        request = "POST /echo HTTP/2.0\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello" },
    { "HTTP/9.9", rfc = "9110 15.6.6", answers = { 505 }, request = get("9.9") },
    { "the answer to another version names what is spoken", rfc = "9110 15.6.6", answers = { 505 },
        bodies = { "only HTTP/1.0 and HTTP/1.1 are spoken here\n" }, request = get("4.0") },
    malformed("a version of many digits", "4294967295.255"),
    malformed("a version of two digits", "1.10"),
    malformed("a major version of two digits", "11.1"),
    malformed("a version with leading zeros", "01.1"),
    malformed("a version with a blank", "1. 1"),
    malformed("a version with a comma", "1,1"),
    malformed("a version with letters", "1.x"),
    malformed("a version with a sign", "-1.1"),
    malformed("no version number", ""),
}
