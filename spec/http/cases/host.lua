--- Host, and the forms of a target.

local function get(target, fields, version)
    return "GET " .. target .. " HTTP/" .. (version or "1.1") .. "\r\n" .. fields .. "\r\n"
end

local function with_host(host)
    return get("/host", "Host: " .. host .. "\r\n")
end

local function good(name, host)
    return { name, rfc = "9110 7.2", keeps = true, answers = { 200 }, bodies = { host }, request = with_host(host) }
end

local function bad(name, host)
    return { name, rfc = "9112 3.2", answers = { 400 }, request = with_host(host) }
end

return {
    { "no Host", rfc = "9112 3.2", answers = { 400 }, request = get("/host", "") },
    { "two Hosts", rfc = "9112 3.2", answers = { 400 }, request = get("/host", "Host: a\r\nHost: b\r\n") },
    { "two equal Hosts", rfc = "9112 3.2", answers = { 400 }, request = get("/host", "Host: a\r\nhost: a\r\n") },
    good("a name", "example.com"),
    good("a name and a port", "example.com:8080"),
    good("an empty Host", ""),
    good("an IPv4 address", "127.0.0.1:80"),
    good("an IPv6 address", "[::1]:80"),
    good("an encoded name", "a%20b"),
    bad("a blank in Host", "a b"),
    bad("a list in Host", "a, b"),
    bad("a path in Host", "a/b"),
    bad("userinfo in Host", "user@a"),
    bad("a port that is none", "a:b"),
    bad("two ports", "a:1:2"),
    bad("half an IPv6 address", "[::1"),
    bad("text behind an IPv6 address", "[::1]x"),
    bad("quotes in Host", "\"a\""),
    bad("brackets in Host", "a[1]"),
    bad("a query in Host", "a?b"),
    { "an absolute target decides over Host", rfc = "9112 3.2.2", keeps = true, answers = { 200 },
        bodies = { "example.com:81" }, request = get("http://example.com:81/host", "Host: other\r\n") },
    { "an absolute target still needs Host", rfc = "9112 3.2", answers = { 400 },
        request = get("http://example.com/host", "") },
    { "an absolute target of https", rfc = "9112 3.2.2", keeps = true, answers = { 200 }, bodies = { "b" },
        request = get("https://b/host", "Host: b\r\n") },
    { "an absolute target without a path", rfc = "9112 3.2.2", keeps = true, answers = { 200 }, bodies = { "root" },
        request = get("http://b", "Host: b\r\n") },
    { "an absolute target with a query alone", rfc = "9112 3.2.2", keeps = true, answers = { 200 },
        bodies = { "root" }, request = get("http://b?x=1", "Host: b\r\n") },
    { "an absolute target with a bad authority", rfc = "9110 4.2.4", answers = { 400 },
        request = get("http://u@b/host", "Host: b\r\n") },
    { "an absolute target without an authority", rfc = "9110 4.2.1", answers = { 400 },
        request = get("http:///host", "Host: b\r\n") },
    { "an absolute target of another scheme", rfc = "9112 3.2.2", answers = { 400 },
        request = get("ftp://b/host", "Host: b\r\n") },
    { "a target that is no path", rfc = "9112 3.2", answers = { 400 }, request = get("host", "Host: b\r\n") },
    { "an asterisk without OPTIONS", rfc = "9112 3.2.4", answers = { 400 }, request = get("*", "Host: b\r\n") },
    { "an asterisk with OPTIONS", rfc = "9110 9.3.7", keeps = true, answers = { 204 },
        request = "OPTIONS * HTTP/1.1\r\nHost: b\r\n\r\n" },
    { "a fragment in a target", rfc = "9112 3.2", answers = { 400 }, request = get("/host#x", "Host: b\r\n") },
    { "bytes beyond ASCII in a target", rfc = "9112 3.2", answers = { 400 },
        request = get("/h\195\169", "Host: b\r\n") },
    { "a NUL in a target", rfc = "9112 3.2", answers = { 400 }, request = get("/h\0", "Host: b\r\n") },
    { "HTTP/1.0 needs no Host", rfc = "9112 3.2", answers = { 200 }, bodies = { "nil" },
        request = get("/host", "", "1.0") },
}
