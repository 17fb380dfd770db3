--- The header fields that a proxy hands on: those that came, without the ones for one hop alone (core/http/hop.c), with
--- those that tell who asked.

local core = require("moonloop.core.request")
local http_core = require("moonloop.core.http")

local M = {}

local NOTHING = {}

local function append(list, text)
    return list and list .. ", " .. text or text
end

local function quoted(text)
    return text:match("^[%w.-]+$") and text or '"' .. text:gsub('[\\"]', "\\%0") .. '"'
end

---An address as RFC 7239 wants it.
local function node_of(address)
    return address:find(":", 1, true) and ('"[%s]"'):format(address) or address
end

local function element_of(node, proto, host)
    return ("for=%s%s%s"):format(node_of(node), proto and ";proto=" .. quoted(proto) or "",
        host and ";host=" .. quoted(host) or "")
end

---@class moonloop.proxy.Seen what a request says of itself and of others, by lower-case name
---@field [1] string its version, "1.1"
---@field via? string
---@field upgrade? string
---@field connection? string

---@class moonloop.proxy.Hop one element of what those said who passed the request on to us
---@field [1] string an address, a name that a proxy made up, or "unknown"
---@field proto? string
---@field host? string

---What the believed ones say of the client, who stands first among them.
---@param hops moonloop.proxy.Hop[]
---@param depth integer how many are believed, from the end
---@return string? proto
---@return string? host
local function asked_by_client(hops, depth)
    local proto, host
    for i = #hops, #hops - depth + 1, -1 do
        proto, host = hops[i].proto or proto, hops[i].host or host
    end
    return proto and proto:match("^%a[%w+.-]*$") and proto:lower(), host and host:match("^[%w.:_%[%]-]+$")
end

---Forwarded as X-Forwarded-* says it.
local function of_forwarded(hops, depth)
    local nodes = {}
    for i, hop in ipairs(hops) do
        nodes[i] = hop[1]
    end
    local proto, host = asked_by_client(hops, depth)
    return {
        ["x-forwarded-for"] = #nodes > 0 and table.concat(nodes, ", ") or nil, ["x-forwarded-proto"] = proto,
        ["x-forwarded-host"] = host,
    }
end

---Of several the one that was added last.
local function last_of(list)
    return list and list:match("([^%s,]+)[%s,]*$")
end

---The elements before ours. X-Forwarded-Proto and -Host belong to the client.
local function elements_before(hops, depth, before)
    local texts = {}
    for i, hop in ipairs(hops) do
        local is_client = i == #hops - depth + 1
        texts[i] = element_of(hop[1], hop.proto or is_client and last_of(before["x-forwarded-proto"]),
            hop.host or is_client and last_of(before["x-forwarded-host"]))
    end
    return texts
end

---Adds what the next server gets to know of who asked. What a client says about others counts only when it is believed
---(options forwarded_allow_ips and forwarded_header of the server).
local function add_asker(out, n, seen, token, options)
    local address, is_believed, host, scheme, is_standard = core.asker(token)
    local hops, depth, before = NOTHING, 0, is_believed and seen or NOTHING
    if is_believed and (is_standard or options.forwarded) then
        hops, depth = core.hops(token)
    end
    before = is_believed and is_standard and of_forwarded(hops, depth) or before
    address = address == "unix" and "127.0.0.1" or address
    if options.preserve_host and host then
        out[n + 1], out[n + 2] = "Host", host
        n = n + 2
    end
    out[n + 1], out[n + 2] = "X-Forwarded-For", append(before["x-forwarded-for"], address)
    out[n + 3], out[n + 4] = "X-Forwarded-Proto", before["x-forwarded-proto"] or scheme
    n = n + 4
    local asked = before["x-forwarded-host"] or host
    if asked then
        out[n + 1], out[n + 2] = "X-Forwarded-Host", asked
        n = n + 2
    end
    if before["x-real-ip"] then
        out[n + 1], out[n + 2] = "X-Real-IP", core.peer(token)
        n = n + 2
    end
    if options.forwarded or is_standard and #hops > 0 then
        local texts = elements_before(hops, depth, before)
        local is_first = depth == 0
        texts[#texts + 1] = element_of(address, is_first and last_of(before["x-forwarded-proto"]) or scheme,
            is_first and last_of(before["x-forwarded-host"]) or host)
        out[n + 1], out[n + 2] = "Forwarded", table.concat(texts, ", ")
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

---Whether it has passed here so often that it goes round in circles (RFC 9110, 7.6).
local function is_looping(via, name)
    local count = 0
    for by in (via or ""):gmatch("[^,%s]+%s+([^,%s]+)") do
        count = count + (by == name and 1 or 0)
    end
    return count >= M.PASSES_MAX
end

---A request of OPTIONS may say how often it is to be passed on (RFC 9110, 7.6.2); others keep what they say.
---@return string? value for the next server
---@return boolean is_last it ends here
local function forwards_left(method, value)
    if method ~= "OPTIONS" or not value:match("^%d+$") then
        return value, false
    end
    local left = math.min(tonumber(value), M.FORWARDS_MAX) - 1
    return ("%d"):format(left), left < 0
end

---How often a request may come back to the same name in Via, and the most that Max-Forwards is read as.
M.PASSES_MAX, M.FORWARDS_MAX = 10, 2147483647

---The fields of the request to the next server: { name, value, ... }.
---@param req moonloop.Request
---@param options moonloop.ProxyOptions
---@return string[] fields
---@return moonloop.proxy.Seen seen
---@return "looping"|"last"|nil verdict why it is not passed on
function M.of_request(req, options)
    local token = req[1]
    local out, seen = core.forward_fields(token)
    local n = add_asker(out, #out, seen, token, options)
    local name, verdict = options.via or "moonloop", nil
    out[n + 1], out[n + 2] = "Via", append(seen.via, seen[1] .. " " .. name)
    out[n + 3], out[n + 4] = "X-Request-Id", seen["x-request-id"] or core.id(token)
    if seen["max-forwards"] then
        local value, is_last = forwards_left(req.method, seen["max-forwards"])
        out[n + 5], out[n + 6] = "Max-Forwards", value
        verdict = is_last and "last" or nil
    end
    verdict = is_looping(seen.via, name) and "looping" or verdict
    return options.headers and replace(out, options.headers) or out, seen, verdict
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
