--- Which forward proxy a request goes through: an option, or HTTP_PROXY and its sisters.
---
--- Decides only; how a proxy is spoken to is core/http/tunnel.c. Values may hold passwords: messages name the variable
--- or the option, never the value.

local bit = require("bit")
local core = require("moonloop.core.http")
local ip_address = require("moonloop.ip_address")
local options_of = require("moonloop.http.options")
local response = require("moonloop.http.response")

local M = {}

---@class moonloop.http.ProxyRule
---@field url? string
---@field problem? string why there is none

---@class moonloop.http.Proxies
---@field http? moonloop.http.ProxyRule
---@field https? moonloop.http.ProxyRule
---@field exceptions? moonloop.http.ProxyException[] nil: none, not even this machine

---@class moonloop.http.ProxyException one of name, address and all
---@field name? string itself and what ends in it
---@field address? string 4 or 16 bytes
---@field bits? integer of the address that count
---@field all? boolean
---@field port? integer nil: any

local function starts_alike(a, b, bits)
    local whole, rest = math.floor(bits / 8), bits % 8
    if #a ~= #b or a:sub(1, whole) ~= b:sub(1, whole) then
        return false
    end
    local shift = 8 - rest
    return rest == 0 or bit.rshift(a:byte(whole + 1), shift) == bit.rshift(b:byte(whole + 1), shift)
end

---@param entry string of NO_PROXY
---@return moonloop.http.ProxyException? nil: it means nothing
local function exception_of(entry)
    if entry == "*" then
        return { all = true }
    end
    local network, bits = entry:match("^(.*)/(%d+)$")
    if network then
        local address = ip_address.bytes(network)
        bits = tonumber(bits)
        return address and bits <= #address * 8 and { address = address, bits = bits } or nil
    end
    local host, port = entry:match("^%[(.*)%]:?(%d*)$")
    if not host then
        host, port = entry:match("^([^:]*):(%d+)$")
    end
    host = host or entry
    local address = ip_address.bytes(host)
    if address then
        return { address = address, bits = #address * 8, port = tonumber(port) }
    end
    local name = host:lower():gsub("^%*?%.", ""):gsub("%.$", "")
    return name ~= "" and { name = name, port = tonumber(port) } or nil
end

---@param text string as of NO_PROXY: entries with commas or blanks between
---@return moonloop.http.ProxyException[]
local function exceptions_of(text)
    local list = {}
    for entry in text:gmatch("[^,%s]+") do
        list[#list + 1] = exception_of(entry)
    end
    return list
end

local function is_excepted(exceptions, host, port)
    local name = host:lower():gsub("%.$", "")
    local address = ip_address.bytes(name)
    if name == "localhost" or name:match("%.localhost$")
        or address and (address:byte(1) == 127 and #address == 4 or address == ("\0"):rep(15) .. "\1") then
        return true
    end
    for _, each in ipairs(exceptions) do
        local is_there = not each.port or each.port == port
        local is_same = each.all or address and each.address and starts_alike(address, each.address, each.bits)
            or each.name and (name == each.name or name:sub(-#each.name - 1) == "." .. each.name)
        if is_there and is_same then
            return true
        end
    end
    return false
end

---The proxies that variables name: http_proxy, https_proxy, all_proxy and no_proxy, in small letters or in capitals. Of
---two spellings the small one counts; an empty value means none. HTTP_PROXY does not count for a CGI program, where
---it is a field of the request.
---@param variable fun(name: string): string?
---@return moonloop.http.Proxies? nil: none
function M.from_variables(variable)
    local function first(...)
        for _, name in ipairs({ ... }) do
            local value = variable(name)
            if value then
                return value, name
            end
        end
        return ""
    end
    local function rule(...)
        local value, name = first(...)
        if value == "" then
            return nil
        end
        local _, reason = core.proxy(value)
        return reason and { problem = ("the environment variable %s names no proxy: %s"):format(name, reason) }
            or { url = value }
    end
    local capitals = not variable("REQUEST_METHOD") and "HTTP_PROXY" or "http_proxy"
    local proxies = {
        http = rule("http_proxy", capitals, "all_proxy", "ALL_PROXY"),
        https = rule("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"),
        exceptions = exceptions_of((first("no_proxy", "NO_PROXY"))),
    }
    return (proxies.http or proxies.https) and proxies or nil
end

local found, is_found

---Those of this process, looked up once.
---@return moonloop.http.Proxies?
function M.environment()
    if not is_found then
        found, is_found = M.from_variables(os.getenv), true
    end
    return found
end

---@param option string|boolean|nil of a client or a request
---@param default? moonloop.http.Proxies for nil
---@return moonloop.http.Proxies?
function M.of_option(option, default)
    if option == nil then
        return default
    elseif option == false then
        return nil
    end
    local reason = option == true and "expected a URL or false" or select(2, core.proxy(option))
    if reason then
        options_of.misuse("http: option proxy: %s", reason)
    end
    return { http = { url = option }, https = { url = option } }
end

---@param proxies moonloop.http.Proxies
---Raises `refused` where the environment names one that is none.
---@param wanted moonloop.http.Wanted
---@return string? url nil: straight there
function M.choose(proxies, wanted)
    local parts = core.parse(wanted.url)
    local rule = parts and proxies[parts.scheme]
    if not rule or proxies.exceptions and is_excepted(proxies.exceptions, parts.host, parts.port) then
        return nil
    elseif rule.problem then
        response.fail("refused", wanted, rule.problem, "before it began")
    end
    return rule.url
end

return M
