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
    bad("an empty Host", ""),
    bad("a Host of blanks alone", " \t "),
    { "an empty Host with an asterisk", rfc = "9112 3.3", answers = { 400 },
        request = "OPTIONS * HTTP/1.1\r\nHost:\r\n\r\n" },
    { "an empty Host in HTTP/1.0", rfc = "9112 3.3", answers = { 200 }, bodies = { "" },
        request = get("/host", "Host:\r\n", "1.0") },
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
    bad("a second colon in a name", "a:80:"),
    bad("an empty host with a port", ":80"),
    bad("a percent sign that encodes nothing in Host", "a%zz"),
    bad("half an encoded byte in Host", "a%4"),
    bad("an IPv6 address with a letter that is no digit", "[::g]"),
    bad("an IPv6 address that is too short", "[1:2]"),
    bad("an IPv6 address without brackets", "::1"),
    bad("an IPv6 address with a zone", "[fe80::1%25eth0]"),
    bad("brackets with nothing in them", "[]"),
    bad("a backslash in Host", "a\\b"),
    bad("bytes beyond ASCII in Host", "\195\169"),
    bad("a fragment in Host", "a#b"),
    bad("a URL in Host", "http://a"),
    bad("a blank before the port", "a :80"),
    bad("a port beyond 65535", "a:65536"),
    bad("a port of a hundred digits", "a:" .. ("1"):rep(100)),
    good("an empty port", "a:"),
    good("an address of a future version", "[v1.a:b]"),
    good("an IPv6 address with an IPv4 tail", "[::ffff:127.0.0.1]"),
    { "two Hosts, one of them empty", rfc = "9112 3.2", answers = { 400 },
        request = get("/host", "Host: a\r\nHost:\r\n") },
    { "two Hosts in HTTP/1.0", rfc = "9112 3.2", answers = { 400 },
        request = get("/host", "Host: a\r\nHost: b\r\n", "1.0") },
    { "a malformed Host in HTTP/1.0", rfc = "9112 3.2", answers = { 400 },
        request = get("/host", "Host: a b\r\n", "1.0") },
    { "no Host in HTTP/1.0", rfc = "9112 3.2", answers = { 200 }, bodies = { "nil" },
        request = get("/host", "", "1.0") },
    { "no Host for what does not exist", rfc = "9112 3.2", answers = { 400 }, request = get("/none", "") },
    { "a Host behind a blank before its colon", rfc = "9112 5.1", answers = { 400 },
        request = get("/host", "Host : a\r\n") },
    { "a Host with tabs around it", rfc = "9110 5.5", keeps = true, answers = { 200 }, bodies = { "a" },
        request = get("/host", "Host:\ta\t\r\n") },
}
