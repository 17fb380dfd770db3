--- Set-Cookie fields of several sites into a jar: whatever they say, a jar never gives a site what is another's,
--- never holds more than it may, says the same after a copy, and what it sends cannot break out of its field.
---
--- Input: lines; the first byte of each says which site sends it, the rest is the field.

local check = dofile("core/fuzz/check.lua")
local cookies = require("moonloop.http.cookies")
local set_cookie = require("moonloop.http.set_cookie")

local claim = check.claim

local SITES = {
    "http://example.com/", "https://example.com/a/b", "https://www.example.com/a", "http://www.example.com/a/b/c?d",
    "https://127.0.0.1/", "http://[::1]/x", "https://other.example/", "http://co.uk/",
}
local NOW = 1700000000

local function check_cookie(cookie, site, line)
    claim(#cookie.name + #cookie.value <= set_cookie.SIZE_MAX, "a cookie is too large", line)
    claim(not (cookie.name .. cookie.value):find("[%z\1-\8\10-\31\127;]"), "it can break out", line)
    claim(not cookie.name:find("=", 1, true), "its name does not end where it ends", line)
    claim(cookie.path:sub(1, 1) == "/", "it has no path", line)
    claim(cookie.domain == cookie.domain:lower() and set_cookie.domain_matches(site, cookie.domain),
        "it is not for the site that sent it", line, cookie.domain)
    claim(not cookie.secure or site.is_secure, "a secure one came in plain", line)
    claim(cookie.expires == nil or cookie.expires <= NOW + 400 * 86400, "it lives too long", line)
end

local function check_line(line, site)
    local cookie, reason = set_cookie.read(line, site, NOW)
    if not cookie then
        claim(type(reason) == "string", "refused without a reason", line)
        return
    end
    check_cookie(cookie, site, line)
    local pair = cookie.name ~= "" and cookie.name .. "=" .. cookie.value or cookie.value
    local again = set_cookie.read(pair, site, NOW)
    if again then -- else its name makes a promise that only attributes keep
        claim(cookie.name == "" or again.name == cookie.name, "another name when it comes back", line, again.name)
        claim(again.value == cookie.value or cookie.name == "", "another value when it comes back", line, again.value)
    end
end

local function headers_of(jar)
    local list = {}
    for i, url in ipairs(SITES) do
        list[i] = jar:header(url) or ""
    end
    return table.concat(list, "\n")
end

local function check_jar(jar)
    local all = jar:all()
    claim(#all <= 5, "more than there may be", #all)
    for i, url in ipairs(SITES) do
        local site, value = set_cookie.site(url), jar:header(url)
        claim(value == nil or not value:find("[%z\1-\8\10-\31\127]"), "a field that breaks out", value)
        local sent = {}
        for _, cookie in ipairs(all) do
            local is_his = (cookie.host_only and site.host == cookie.domain
                or not cookie.host_only and set_cookie.domain_matches(site, cookie.domain))
                and set_cookie.path_matches(site.path, cookie.path) and (site.is_secure or not cookie.secure)
            if is_his then
                sent[#sent + 1] = cookie.name ~= "" and cookie.name .. "=" .. cookie.value or cookie.value
            end
        end
        local length = #table.concat(sent, "; ")
        claim(length == #(value or ""), "site " .. i .. " is sent other cookies than those that are its own", value,
            table.concat(sent, "; "))
    end
end

return function(bytes)
    local input, jar = check.input(bytes), cookies.new(nil, { per_domain = 3, total = 5 })
    while not input:is_empty() do
        local url, line = SITES[input:number(#SITES - 1) + 1], input:line()
        local site = set_cookie.site(url)
        check_line(line, site)
        local is_taken, reason = jar:set(url, line)
        claim(is_taken or type(reason) == "string", "refused without a reason", line)
        check.is_quick(line, function(long)
            set_cookie.read(long, site, NOW)
        end)
    end
    check_jar(jar)
    local copy = cookies.new(jar:all(), { per_domain = 3, total = 5 })
    claim(headers_of(copy) == headers_of(jar), "a copy sends something else", headers_of(jar), headers_of(copy))
end
