--- Heads and bodies beyond a limit. The server of these cases has limit_request_line 200,
--- limit_request_header 1000, limit_request_fields 10 and max_body 4096.

local GOOD = "GET /good HTTP/1.1\r\nHost: a\r\n"

local function line(bytes)
    return "GET /" .. ("x"):rep(bytes - #"GET / HTTP/1.1") .. " HTTP/1.1\r\n"
end

local function fields(count)
    return "GET /good HTTP/1.1\r\nHost: a\r\n" .. ("X: y\r\n"):rep(count - 1) .. "\r\n"
end

local function post(bytes)
    return ("POST /count HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s"):format(bytes, ("x"):rep(bytes))
end

---All lines of fields together with the empty one behind them; `blanks` after the last value.
local function sized(bytes, blanks)
    local rest = "Host: a\r\nX: " .. blanks .. "\r\n\r\n"
    return "GET /good HTTP/1.1\r\nHost: a\r\nX: " .. ("y"):rep(bytes - #rest) .. blanks .. "\r\n\r\n"
end

return {
    { "a request line at the limit", keeps = true, answers = { 404 }, request = line(200) .. "Host: a\r\n\r\n" },
    { "a request line beyond the limit", rfc = "9110 15.5.15", answers = { 414 },
        request = line(201) .. "Host: a\r\n\r\n" },
    { "a request line of 100 KB", rfc = "9110 15.5.15", answers = { 414 }, big = true,
        request = line(100 * 1024) .. "Host: a\r\n\r\n" },
    { "a request line without an end", rfc = "9110 15.5.15", answers = { 414 }, request = "GET /" .. ("x"):rep(300) },
    { "as many fields as allowed", keeps = true, answers = { 200 }, request = fields(10) },
    { "too many fields", rfc = "6585 5", answers = { 431 }, request = fields(11) },
    { "fields that are too long", rfc = "6585 5", answers = { 431 },
        request = "GET /good HTTP/1.1\r\nHost: a\r\nX: " .. ("y"):rep(1000) .. "\r\n\r\n" },
    { "a name that is too long", rfc = "6585 5", answers = { 431 },
        request = "GET /good HTTP/1.1\r\nHost: a\r\n" .. ("y"):rep(1100) .. ": y\r\n\r\n" },
    { "a body at the limit", keeps = true, answers = { 200 }, bodies = { "4096" }, request = post(4096) },
    { "a body beyond the limit", rfc = "9110 15.5.14", answers = { 413 }, request = post(4097) },
    { "a body beyond the limit that nobody reads", rfc = "9110 15.5.14", answers = { 413 },
        request = (post(4097):gsub("/count", "/good")) },
    { "a route with a larger limit of its own", keeps = true, answers = { 200 }, bodies = { "5000" },
        request = (post(5000):gsub("/count", "/large")) },
    { "a route with a smaller limit of its own", answers = { 413 }, request = (post(11):gsub("/count", "/small")) },
    { "a route at a smaller limit of its own", keeps = true, answers = { 200 }, bodies = { "10" },
        request = (post(10):gsub("/count", "/small")) },
    { "a request line of 8000 bytes", rfc = "9112 3", keeps = true, roomy = true, answers = { 404 },
        request = line(8000) .. "Host: a\r\n\r\n" },
    { "a query of 8000 bytes", rfc = "9112 3", keeps = true, roomy = true, answers = { 200 },
        bodies = { ("x"):rep(8000) }, request = "GET /query?q=" .. ("x"):rep(8000) .. " HTTP/1.1\r\nHost: a\r\n\r\n" },
    { "a request line of 9000 bytes", rfc = "9110 15.5.15", roomy = true, answers = { 414 },
        request = line(9000) .. "Host: a\r\n\r\n" },
    { "fields of 32000 bytes", rfc = "9110 5.4", keeps = true, roomy = true, answers = { 200 },
        request = "GET /good HTTP/1.1\r\nHost: a\r\nX: " .. ("y"):rep(32000) .. "\r\n\r\n" },
    { "fields of 33000 bytes", rfc = "9110 5.4", roomy = true, answers = { 431 },
        request = "GET /good HTTP/1.1\r\nHost: a\r\nX: " .. ("y"):rep(33000) .. "\r\n\r\n" },
    { "a field without an end", rfc = "6585 5", answers = { 431 },
        request = "GET /good HTTP/1.1\r\nHost: a\r\nX: " .. ("y"):rep(1100) },
    { "a method without an end", rfc = "9112 3", answers = { 501 }, request = ("A"):rep(300) },
    { "a body in chunks at the limit", keeps = true, answers = { 200 }, bodies = { "4096" },
        request = "POST /count HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1000\r\n" .. ("x"):rep(4096)
            .. "\r\n0\r\n\r\n" },
    { "a chunk that passes the limit by one", rfc = "9110 15.5.14", answers = { 413 },
        request = "POST /count HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1001\r\n" },
    { "a body beyond the limit in HTTP/1.0", rfc = "9110 15.5.14", answers = { 413 },
        request = (post(4097):gsub("HTTP/1.1", "HTTP/1.0")) },
    { "a body of a megabyte that is refused", rfc = "9110 15.5.14", answers = { 413 }, request = post(1048576) },
    -- what is wrong with a head and comes first decides, however it is cut
    { "a malformed field, then too many", answers = { 400 }, rfc = "9112 5", request = GOOD .. "X@: y\r\n"
        .. ("X: y\r\n"):rep(20) .. "\r\n" },
    { "too many fields, the first of those too many malformed", answers = { 400 }, rfc = "9112 5",
        request = GOOD .. ("X: y\r\n"):rep(9) .. "Long-Name@: y\r\n\r\n" },
    { "too many fields, then a malformed one", answers = { 431 }, rfc = "6585 5",
        request = GOOD .. ("X: y\r\n"):rep(10) .. "X@: y\r\n\r\n" },
    { "fields that are too long, then a malformed one", answers = { 431 }, rfc = "6585 5",
        request = GOOD .. "X: " .. ("y"):rep(1000) .. "\r\nX@: y\r\n\r\n" },
    { "a malformed field, then fields that are too long", answers = { 400 }, rfc = "9112 5",
        request = GOOD .. "X@: y\r\nX: " .. ("y"):rep(1000) .. "\r\n\r\n" },
    { "a folded field, then fields that are too long", answers = { 431 }, rfc = "6585 5",
        request = GOOD .. "X: a\r\n b\r\nX: " .. ("y"):rep(1000) .. "\r\n\r\n" },
    { "a malformed head with a long body behind it", answers = { 400 }, rfc = "9112 5.1",
        request = "POST /echo HTTP/1.1\r\nHost: a\r\nX : y\r\nContent-Length: 2000\r\n\r\n" .. ("x"):rep(2000) },
    { "a request line near the limit, then a long name that is malformed", answers = { 400 }, rfc = "9112 5",
        request = line(195) .. ("N"):rep(100) .. "@: y\r\n\r\n" },
    { "a request line beyond the limit and no version", answers = { 414 }, rfc = "9110 15.5.15",
        request = "GET /" .. ("x"):rep(300) .. "\r\n" },
    { "no version, then fields that are too long", answers = { 400 }, rfc = "9112 3",
        request = "GET /good\r\nHost: a\r\nX: " .. ("y"):rep(1000) .. "\r\n\r\n" },
    { "fields at the limit", keeps = true, answers = { 200 }, rfc = "6585 5", request = sized(1000, "") },
    { "fields at the limit, blanks behind the last value", keeps = true, answers = { 200 }, rfc = "6585 5",
        request = sized(1000, " \t ") },
    { "fields beyond the limit by one", answers = { 431 }, rfc = "6585 5", request = sized(1001, "") },
    { "fields beyond the limit by a blank", answers = { 431 }, rfc = "6585 5", request = sized(1001, " ") },
    { "a request line at the limit and no field", answers = { 404 }, rfc = "9112 3",
        request = (line(200):gsub("1%.1\r\n", "1.0\r\n")) .. "\r\n" },
    { "a request line beyond the limit and no field", answers = { 414 }, rfc = "9112 3",
        request = (line(201):gsub("1%.1\r\n", "1.0\r\n")) .. "\r\n" },
}
