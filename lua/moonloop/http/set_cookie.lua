--- One Set-Cookie field read, and whether the site that sent it may set such a cookie (RFC 6265bis, 5.6 and 5.7).
--- Knows no store.

local core = require("moonloop.core.http")
local date = require("moonloop.http.date")
local public_suffix = require("moonloop.http.public_suffix")

local M = {}

---@class moonloop.http.Cookie
---@field name string
---@field value string
---@field domain string without a dot in front, lower case
---@field host_only boolean it is for that host alone, not for those below
---@field path string
---@field secure boolean for https only
---@field http_only boolean
---@field expires? number seconds since 1970; nil: it ends with the session

---@class moonloop.http.Site where a cookie comes from or goes to
---@field host string lower case
---@field path string
---@field is_secure boolean
---@field is_address boolean the host is no name

M.SIZE_MAX = 4096 -- bytes of name and value
local ATTRIBUTE_MAX = 1024
local LIFE_MAX = 400 * 86400 -- seconds

---@param url string
---@return moonloop.http.Site? nil: no cookies go there
function M.site(url)
    local parts = core.parse(url)
    if not parts or parts.scheme == "http+unix" then
        return nil
    end
    local authority, path = url:match("^%w+://([^/?#]*)([^?#]*)")
    authority = authority:gsub("^.*@", "")
    local address = authority:match("^%[(.*)%]")
    local host = (address or authority:gsub(":%d*$", "")):lower()
    return { host = host, path = path ~= "" and path or "/", is_secure = parts.scheme == "https",
        is_address = address ~= nil or host:find("^%d+%.%d+%.%d+%.%d+$") ~= nil }
end

---@param site moonloop.http.Site
---@param domain string
---@return boolean
function M.domain_matches(site, domain)
    return site.host == domain
        or not site.is_address and #site.host > #domain and site.host:sub(-#domain - 1) == "." .. domain
end

---@param path string asked for
---@param of_cookie string
---@return boolean
function M.path_matches(path, of_cookie)
    return path == of_cookie or path:sub(1, #of_cookie) == of_cookie
        and (of_cookie:sub(-1) == "/" or path:sub(#of_cookie + 1, #of_cookie + 1) == "/")
end

---In one pass: blanks within a long field must not be looked at again and again.
local function trim(text)
    local from = text:find("[^ \t]")
    return from and text:match("^.*[^ \t]", from) or ""
end

local READ = {}

function READ.expires(cookie, value)
    cookie.until_date = date.parse(value) or cookie.until_date
end

READ["max-age"] = function(cookie, value)
    if value:find("^-?%d+$") then
        cookie.max_age = tonumber(value)
    end
end

function READ.domain(cookie, value)
    cookie.domain = value:gsub("^%.", ""):lower()
end

function READ.path(cookie, value)
    cookie.path = value:sub(1, 1) == "/" and value or nil
end

function READ.secure(cookie)
    cookie.secure = true
end

function READ.httponly(cookie)
    cookie.http_only = true
end

---@param line string
---@return table? cookie as it says; nil: it is none, and the next is why
---@return string? reason
local function parse(line)
    if line:find("[%z\1-\8\10-\31\127]") then
        return nil, "it holds a control character"
    end
    local pair, rest = line:match("^([^;]*)(.*)$")
    local name, value = pair:match("^([^=]*)=(.*)$")
    local cookie = { name = trim(name or ""), value = trim(value or pair), secure = false, http_only = false }
    if cookie.name == "" and cookie.value == "" then
        return nil, "it has neither name nor value"
    elseif #cookie.name + #cookie.value > M.SIZE_MAX then
        return nil, "name and value are longer than 4096 bytes"
    end
    for attribute in rest:gmatch(";([^;]*)") do
        local key, text = attribute:match("^([^=]*)=(.*)$")
        key, text = trim(key or attribute):lower(), trim(text or "")
        if READ[key] and #text <= ATTRIBUTE_MAX then
            READ[key](cookie, text)
        end
    end
    return cookie
end

local function expiry(cookie, now)
    if cookie.max_age then
        return cookie.max_age <= 0 and 0 or now + math.min(cookie.max_age, LIFE_MAX)
    end
    return cookie.until_date and math.min(cookie.until_date, now + LIFE_MAX)
end

local function default_path(path)
    return path:match("^(/.*)/[^/]*$") or "/"
end

---Settles whom it is for; the reason when the site may not say so.
local function settle_domain(cookie, site)
    local domain = cookie.domain
    if domain == nil or domain == "" or domain == site.host then
        cookie.host_only = domain == nil or domain == "" or site.is_address or public_suffix.is(domain)
        cookie.domain = site.host
        return nil
    elseif public_suffix.is(domain) then
        return "its domain is a public suffix, below which anybody can register"
    elseif not M.domain_matches(site, domain) then
        return "its domain is not that of the server"
    end
    cookie.host_only = false
    return nil
end

---The promises that a name makes (6265bis, 4.1.3).
local function broken_promise(cookie, had_path)
    local name = cookie.name:lower()
    if name == "" and (cookie.value:lower():find("^__secure%-") or cookie.value:lower():find("^__host%-")) then
        return "it has no name, and its value looks like one"
    elseif name:find("^__secure%-") and not cookie.secure then
        return "its name begins with __Secure-, and it is not secure"
    elseif name:find("^__host%-") and not (cookie.secure and cookie.host_only and had_path and cookie.path == "/") then
        return "its name begins with __Host-, and it is not secure, for this host and for all paths"
    end
    return nil
end

---@param line string the value of Set-Cookie
---@param site moonloop.http.Site that sent it
---@param now number seconds since 1970
---@return moonloop.http.Cookie? cookie nil: it is refused, and the next is why
---@return string? reason
function M.read(line, site, now)
    local said, reason = parse(line)
    if not said then
        return nil, reason
    end
    local had_path = said.path ~= nil
    said.path = said.path or default_path(site.path)
    reason = settle_domain(said, site) or broken_promise(said, had_path)
        or said.secure and not site.is_secure and "it is secure, and did not come over https"
    if reason then
        return nil, reason
    end
    return {
        name = said.name, value = said.value, domain = said.domain, host_only = said.host_only, path = said.path,
        secure = said.secure, http_only = said.http_only, expires = expiry(said, now),
    }
end

return M
