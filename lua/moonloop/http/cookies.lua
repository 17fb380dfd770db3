--- A cookie jar (RFC 6265bis): keeps what servers set, and gives each request what is for it. One per user whom the
--- requests are made for: whoever shares a jar shares sessions.

local clock = require("moonloop.clock")
local handles = require("moonloop.util.handle")
local options = require("moonloop.http.options")
local set_cookie = require("moonloop.http.set_cookie")

local misuse = options.misuse

local M = {}

local OPTIONS = { per_domain = "number", total = "number" }

---@class moonloop.http.Jar
---@field private domains table<string, table[]> cookies by domain
---@field private count integer
---@field private ticks integer counts what is set and sent
---@field private per_domain integer
---@field private total integer
local Jar = { __name = "moonloop.http.Jar", __transfer = false }
Jar.__index = Jar

---@param value any
---@return boolean
function M.is(value)
    return type(value) == "table" and getmetatable(value) == Jar
end

local function tick(jar)
    jar.ticks = jar.ticks + 1
    return jar.ticks
end

local function remove_at(jar, domain, index)
    local list = jar.domains[domain]
    table.remove(list, index)
    jar.count = jar.count - 1
    if #list == 0 then
        jar.domains[domain] = nil
    end
end

local function is_expired(cookie, now)
    return cookie.expires ~= nil and cookie.expires <= now
end

---Removes each cookie for which `is_out` says so.
local function remove_where(jar, is_out)
    for domain, list in pairs(jar.domains) do
        for i = #list, 1, -1 do
            if is_out(list[i]) then
                remove_at(jar, domain, i)
            end
        end
    end
end

---Of two cookies the one to let go: what is not secure, then what was not used for the longest time.
local function goes_first(a, b)
    if a.secure ~= b.secure then
        return not a.secure
    end
    return a.used < b.used
end

local function remove_one(jar, domains)
    local worst_domain, worst_index
    for domain, list in pairs(domains) do
        for i, cookie in ipairs(list) do
            if not worst_domain or goes_first(cookie, jar.domains[worst_domain][worst_index]) then
                worst_domain, worst_index = domain, i
            end
        end
    end
    remove_at(jar, worst_domain, worst_index)
end

local function make_room(jar, domain, now)
    local list = jar.domains[domain]
    if #list <= jar.per_domain and jar.count <= jar.total then
        return
    end
    remove_where(jar, function(cookie) return is_expired(cookie, now) end)
    list = jar.domains[domain]
    if list and #list > jar.per_domain then
        remove_one(jar, { [domain] = list })
    end
    if jar.count > jar.total then
        remove_one(jar, jar.domains)
    end
end

local function find(list, cookie)
    for i, each in ipairs(list) do
        if each.name == cookie.name and each.path == cookie.path and each.host_only == cookie.host_only then
            return i
        end
    end
    return nil
end

---Calls `fn(cookie, list)` for the cookies of the site's host and of the domains above.
local function each_above(jar, site, fn)
    local domain = site.host
    while domain do
        for _, cookie in ipairs(jar.domains[domain] or {}) do
            fn(cookie)
        end
        domain = not site.is_address and domain:match("^[^.]*%.(.+)$") or nil
    end
end

---Whether a cookie from plain http would take the place of a secure one (6265bis, 5.7, 16).
local function covers_secure(jar, cookie, site)
    if site.is_secure then
        return false
    end
    local is_covered = false
    local function check(other)
        is_covered = is_covered or other.secure and other.name == cookie.name
            and set_cookie.path_matches(cookie.path, other.path)
    end
    each_above(jar, site, check)
    for domain, list in pairs(jar.domains) do
        if domain ~= cookie.domain and domain:sub(-#cookie.domain - 1) == "." .. cookie.domain then
            for _, other in ipairs(list) do
                check(other)
            end
        end
    end
    return is_covered
end

local function keep(jar, cookie, now)
    local list = jar.domains[cookie.domain] or {}
    local index = find(list, cookie)
    cookie.used = tick(jar)
    cookie.created = index and list[index].created or cookie.used
    if is_expired(cookie, now) then
        if index then
            remove_at(jar, cookie.domain, index)
        end
        return
    end
    jar.domains[cookie.domain] = list
    if index then
        list[index] = cookie
        return
    end
    list[#list + 1] = cookie
    jar.count = jar.count + 1
    make_room(jar, cookie.domain, now)
end

local function check_site(what, url)
    local site = type(url) == "string" and set_cookie.site(url)
    if not site then
        misuse("%s: expected an http or https URL, got %s", what, tostring(url))
    end
    return site
end

---Takes a cookie as if the server at `url` had sent it: `jar:set("https://a.example/", "id=7; Path=/; Secure")`.
---@param url string
---@param line string the value of a Set-Cookie field
---@return boolean is_taken
---@return string? reason why not
function Jar:set(url, line)
    local site = check_site("jar:set", url)
    if type(line) ~= "string" then
        misuse("jar:set: expected the value of a Set-Cookie field, got a %s", type(line))
    end
    local now = clock.wall()
    local cookie, reason = set_cookie.read(line, site, now)
    if not cookie then
        return false, reason
    elseif covers_secure(self, cookie, site) then
        return false, "it would take the place of a secure one, and did not come over https"
    end
    keep(self, cookie, now)
    return true
end

---@return table[] cookies in the order in which they are sent: longer paths first, then the older
local function chosen(jar, site)
    local now, list = clock.wall(), {}
    each_above(jar, site, function(cookie)
        if (not cookie.host_only or cookie.domain == site.host) and (not cookie.secure or site.is_secure)
            and not is_expired(cookie, now) and set_cookie.path_matches(site.path, cookie.path) then
            list[#list + 1] = cookie
        end
    end)
    table.sort(list, function(a, b)
        if #a.path ~= #b.path then
            return #a.path > #b.path
        end
        return a.created < b.created
    end)
    return list
end

---What a request to `url` says.
---@param url string
---@return string? value of its Cookie field; nil: none
function Jar:header(url)
    local site = set_cookie.site(url)
    local parts = {}
    for i, cookie in ipairs(site and chosen(self, site) or {}) do
        cookie.used = tick(self)
        parts[i] = cookie.name ~= "" and cookie.name .. "=" .. cookie.value or cookie.value
    end
    return #parts > 0 and table.concat(parts, "; ") or nil
end

---The value of a cookie that a request to `url` would send.
---@param url string
---@param name string
---@return string? value nil: there is none
function Jar:get(url, name)
    for _, cookie in ipairs(chosen(self, check_site("jar:get", url))) do
        if cookie.name == name then
            return cookie.value
        end
    end
    return nil
end

local function copy_of(cookie)
    return {
        name = cookie.name, value = cookie.value, domain = cookie.domain, host_only = cookie.host_only,
        path = cookie.path, secure = cookie.secure, http_only = cookie.http_only, expires = cookie.expires,
    }
end

---Copies of all cookies that have not expired, the oldest first: plain data that JSON can carry, and that
---`http.cookies` takes.
---@return moonloop.http.Cookie[]
function Jar:all()
    local now, list = clock.wall(), {}
    remove_where(self, function(cookie) return is_expired(cookie, now) end)
    for _, each in pairs(self.domains) do
        for _, cookie in ipairs(each) do
            list[#list + 1] = cookie
        end
    end
    table.sort(list, function(a, b) return a.created < b.created end)
    for i, cookie in ipairs(list) do
        list[i] = copy_of(cookie)
    end
    return list
end

---Forgets all cookies, or those of a domain and of those below it.
---@param domain? string
function Jar:clear(domain)
    if domain ~= nil and type(domain) ~= "string" then
        misuse("jar:clear: expected a domain, or nothing, got a %s", type(domain))
    end
    domain = domain and domain:lower()
    remove_where(self, function(cookie)
        return not domain or cookie.domain == domain or cookie.domain:sub(-#domain - 1) == "." .. domain
    end)
end

handles.finish(Jar, "jar", function(self)
    return handles.text("cookie jar", ("%d cookies"):format(self.count))
end)

local TYPES = { name = "string", value = "string", domain = "string", host_only = "boolean", path = "string",
    secure = "boolean", http_only = "boolean" }

local function check_saved(i, cookie)
    if type(cookie) ~= "table" then
        misuse("http.cookies: cookie %d: expected what jar:all() gives, got a %s", i, type(cookie))
    end
    for name, kind in pairs(TYPES) do
        if type(cookie[name]) ~= kind then
            misuse("http.cookies: cookie %d: %s: expected a %s, got a %s", i, name, kind, type(cookie[name]))
        end
    end
    if cookie.expires ~= nil and type(cookie.expires) ~= "number" then
        misuse("http.cookies: cookie %d: expires: expected seconds since 1970, got a %s", i, type(cookie.expires))
    elseif (cookie.name .. cookie.value):find("[%z\1-\8\10-\31\127;]") or cookie.name:find("=", 1, true) then
        misuse("http.cookies: cookie %d: its name or value holds a character that may not be there", i)
    end
end

local function limit(given, name, default)
    local most = given[name] or default
    if not (most >= 1 and most <= 1e6 and most % 1 == 0) then
        misuse("http.cookies: option %s: expected how many, from 1 to 1e6", name)
    end
    return most
end

---A cookie jar, for the option `cookies` of requests and clients.
---@param saved? moonloop.http.Cookie[] what jar:all() of another one gave
---@param given? { per_domain?: integer, total?: integer } the most cookies of a domain, 180, and of all, 3000
---@return moonloop.http.Jar
function M.new(saved, given)
    given = given or {}
    options.check(given, OPTIONS, "http.cookies")
    local jar = setmetatable({ domains = {}, count = 0, ticks = 0, per_domain = limit(given, "per_domain", 180),
        total = limit(given, "total", 3000) }, Jar)
    if saved ~= nil and type(saved) ~= "table" then
        misuse("http.cookies: expected what jar:all() gives, got a %s", type(saved))
    end
    for i, cookie in ipairs(saved or {}) do
        check_saved(i, cookie)
        keep(jar, copy_of(cookie), clock.wall())
    end
    return jar
end

---Adds the jar's cookies to the fields of a request that says none itself.
---@param jar moonloop.http.Jar
---@param url string
---@param fields string[] name, value, ...
---@return string[] fields
function M.add(jar, url, fields)
    local value = jar:header(url)
    if not value then
        return fields
    end
    local all = {}
    for i = 1, #fields, 2 do
        if fields[i]:lower() == "cookie" then
            return fields
        end
        all[i], all[i + 1] = fields[i], fields[i + 1]
    end
    all[#all + 1] = "Cookie"
    all[#all + 1] = value
    return all
end

---Takes what an answer sets.
---@param jar moonloop.http.Jar
---@param res moonloop.http.Response
function M.take(jar, res)
    if not set_cookie.site(res.url) then
        return
    end
    for _, line in ipairs(res:header_all("set-cookie")) do
        jar:set(res.url, line)
    end
end

return M
