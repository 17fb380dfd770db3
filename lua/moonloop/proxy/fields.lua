--- The header fields that a proxy hands on: those that came, without the ones for one hop alone (core/http/hop.c), with
--- those that tell who asked.

local core = require("moonloop.core.request")
local http_core = require("moonloop.core.http")

local M = {}

local NOTHING = {}

local function append(list, text)
    return list and list .. ", " .. text or text
end

---An address as RFC 7239 wants it.
local function node_of(address)
    return address:find(":", 1, true) and ('"[%s]"'):format(address) or address
end

local function quoted(text)
    return text:match("^[%w.-]+$") and text or '"' .. text:gsub('[\\"]', "\\%0") .. '"'
end

---@class moonloop.proxy.Seen what a request says of itself and of others, by lower-case name
---@field via? string
---@field upgrade? string
---@field connection? string

---Adds what the next server gets to know of who asked. What a client says about others counts only when it is believed
---(option forwarded_allow_ips of the server).
local function add_asker(out, n, seen, token, options)
    local address, is_believed, host, scheme = core.asker(token)
    local before = is_believed and seen or NOTHING
    address = address == "unix" and "127.0.0.1" or address
    scheme = before["x-forwarded-proto"] or scheme
    if options.preserve_host and host then
        out[n + 1], out[n + 2] = "Host", host
        n = n + 2
    end
    out[n + 1], out[n + 2] = "X-Forwarded-For", append(before["x-forwarded-for"], address)
    out[n + 3], out[n + 4] = "X-Forwarded-Proto", scheme
    n = n + 4
    local asked = before["x-forwarded-host"] or host
    if asked then
        out[n + 1], out[n + 2] = "X-Forwarded-Host", asked
        n = n + 2
    end
    if before["x-real-ip"] then
        out[n + 1], out[n + 2] = "X-Real-IP", before["x-real-ip"]
        n = n + 2
    end
    if before.forwarded or options.forwarded then
        out[n + 1] = "Forwarded"
        out[n + 2] = append(before.forwarded, ("for=%s;proto=%s%s"):format(node_of(address), scheme,
            host and ";host=" .. quoted(host) or ""))
        n = n + 2
    end
    return n
end

local function replace(out, headers)
    local own = {}
    for name in pairs(headers) do
        own[name:lower()] = true
    end
    local kept = {}
    for i = 1, #out, 2 do
        if not own[out[i]:lower()] then
            kept[#kept + 1], kept[#kept + 2] = out[i], out[i + 1]
        end
    end
    for name, value in pairs(headers) do
        for _, each in ipairs(type(value) == "table" and value or { value }) do
            if each ~= false then
                kept[#kept + 1], kept[#kept + 2] = name, tostring(each)
            end
        end
    end
    return kept
end

---The fields of the request to the next server: { name, value, ... }.
---@param req moonloop.Request
---@param options moonloop.ProxyOptions
---@return string[] fields
---@return moonloop.proxy.Seen seen
function M.of_request(req, options)
    local token = req[1]
    local out, seen = core.forward_fields(token)
    local n = add_asker(out, #out, seen, token, options)
    out[n + 1], out[n + 2] = "Via", append(seen.via, options.via and "1.1 " .. options.via or "1.1 moonloop")
    out[n + 3], out[n + 4] = "X-Request-Id", seen["x-request-id"] or core.id(token)
    return options.headers and replace(out, options.headers) or out, seen
end

---What the handler has set and the answer has not, in any case.
local function keep(headers, own)
    local names = {}
    for name in pairs(headers) do
        names[name:lower()] = true
    end
    for name, value in pairs(own) do
        if type(name) ~= "string" or not names[name:lower()] then
            headers[name] = value
        end
    end
end

---The headers that go to the client.
---@param handle userdata of the answer
---@param options moonloop.ProxyOptions
---@param own? table<string, string|string[]> set before; what the answer has as well gives way
---@return table<string, string|string[]> headers
---@return integer? length that Content-Length gives
function M.of_answer(handle, options, own)
    local headers, length, via = http_core.forward(handle)
    headers.Via = append(via, options.via and "1.1 " .. options.via or "1.1 moonloop")
    if own then
        keep(headers, own)
    end
    return headers, length
end

return M
