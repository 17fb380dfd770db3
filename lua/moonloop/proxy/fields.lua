--- The header fields that a proxy hands on: without those that are for one hop alone (RFC 9110, 7.6.1), with those
--- that tell who asked.

local core = require("moonloop.core.request")

local M = {}

-- What is dropped, by lower-case name. Framing is made anew on each side, and so is what the server sets itself.
local HOP = {
    connection = true, ["keep-alive"] = true, ["proxy-connection"] = true, ["proxy-authenticate"] = true,
    ["proxy-authorization"] = true, te = true, trailer = true, ["transfer-encoding"] = true, upgrade = true,
    ["content-length"] = true,
}
local FORWARDED = {
    host = true, via = true, expect = true, forwarded = true, ["x-forwarded-for"] = true, ["x-forwarded-proto"] = true,
    ["x-forwarded-host"] = true, ["x-real-ip"] = true, ["x-request-id"] = true, ["http2-settings"] = true,
}
local OF_ANSWER = { via = true, date = true, ["x-request-id"] = true }

---A set that is asked in any case. Names in lower case are found at once.
local function any_case(...)
    local set = {}
    for _, names in ipairs({ ... }) do
        for name in pairs(names) do
            set[name] = name
            set[name:gsub("%f[%a]%a", string.upper)] = name
        end
    end
    return setmetatable(set, { __index = function(_, name)
        local lower = name:lower()
        return lower ~= name and rawget(set, lower) or nil
    end })
end

local REQUEST, ANSWER = any_case(HOP, FORWARDED), any_case(HOP, OF_ANSWER)

---The names that Connection lists, in lower case; nil for none that matter.
local function listed(fields)
    local names
    for i = 1, #fields, 2 do
        if REQUEST[fields[i]] == "connection" then
            for name in fields[i + 1]:gmatch("[^%s,]+") do
                name = name:lower()
                if not HOP[name] and name ~= "close" then
                    names = names or {}
                    names[name] = true
                end
            end
        end
    end
    return names
end

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

---@class moonloop.proxy.Seen what a request says of itself, by lower-case name
---@field host? string
---@field upgrade? string

---What the next server gets to know of who asked. What a client says about others counts only when it is believed
---(option forwarded_allow_ips of the server).
local function add_forwarded(out, seen, req, options)
    local address, is_believed = core.neighbour(req[1])
    local before = is_believed and seen or {}
    address = address == "unix" and "127.0.0.1" or address
    local host, scheme = req.host, req.scheme
    local n = #out
    out[n + 1], out[n + 2] = "X-Forwarded-For", append(before["x-forwarded-for"], address)
    out[n + 3], out[n + 4] = "X-Forwarded-Proto", before["x-forwarded-proto"] or scheme
    n = n + 4
    if before["x-forwarded-host"] or host then
        out[n + 1], out[n + 2] = "X-Forwarded-Host", before["x-forwarded-host"] or host
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
    end
end

local function add_own(out, headers)
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
    local fields, out, seen = core.fields(token), {}, {}
    local dropped, n = listed(fields), 0
    for i = 1, #fields, 2 do
        local name, value = fields[i], fields[i + 1]
        local known = REQUEST[name]
        if known then
            seen[known] = append(seen[known], value)
        elseif not (dropped and dropped[name:lower()]) then
            out[n + 1], out[n + 2] = name, value
            n = n + 2
        end
    end
    if options.preserve_host and req.host then
        out[n + 1], out[n + 2] = "Host", req.host
    end
    add_forwarded(out, seen, req, options)
    n = #out
    out[n + 1], out[n + 2] = "Via", append(seen.via, "1.1 " .. (options.via or "moonloop"))
    out[n + 3], out[n + 4] = "X-Request-Id", seen["x-request-id"] or req.id
    return options.headers and add_own(out, options.headers) or out, seen
end

local function by_lower_name(headers)
    local names = {}
    for name in pairs(headers) do
        names[tostring(name):lower()] = name
    end
    return names
end

---Puts the fields of an answer into a table of headers, where what is there already stays unless it comes anew.
---@param fields string[] of the answer, { name, value, ... }
---@param headers table<string, string|string[]>
---@param via string
---@return integer? length that Content-Length gives
function M.of_answer(fields, headers, via)
    local dropped, length, seen_via = listed(fields), nil, nil
    local fresh, own = {}, next(headers) ~= nil and by_lower_name(headers) or nil
    for i = 1, #fields, 2 do
        local name, value = fields[i], fields[i + 1]
        local known = ANSWER[name]
        if known == "content-length" then
            length = tonumber(value)
        elseif known == "via" then
            seen_via = append(seen_via, value)
        elseif not known and not (dropped and dropped[name:lower()]) then
            local before = fresh[name]
            if before == nil then
                if own and own[name:lower()] then
                    headers[own[name:lower()]] = nil
                end
                fresh[name], headers[name] = true, value
            elseif type(headers[name]) == "table" then
                table.insert(headers[name], value)
            else
                headers[name] = { headers[name], value }
            end
        end
    end
    headers.Via = append(seen_via, via)
    return length
end

return M
