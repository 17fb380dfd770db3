--- The handshake of a WebSocket (RFC 6455, 4), both sides of it, with permessage-deflate (RFC 7692, 7).

local core = require("moonloop.core.websocket")
local errors = require("moonloop.util.errors")

local M = {}

local TAKEOVER = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"

local function refuse(status, body, headers)
    error(errors.new("abort", "no WebSocket: " .. body, { status = status, body = body .. "\n", headers = headers }), 0)
end

---In one pass: blanks within a long element must not be looked at again and again.
local function items(list)
    local found = {}
    for item in (list or ""):gmatch("[^,]+") do
        local from = item:find("%S")
        found[#found + 1] = from and item:match("^.*%S", from) or ""
    end
    return found
end

---Answers that an upgrade is needed, and why this request is none.
---@param why string
function M.ask(why)
    refuse(426, "this is a WebSocket: " .. why, { Upgrade = "websocket", ["Sec-WebSocket-Version"] = "13" })
end

-- ---- origins ----

local DEFAULT_PORTS = { http = "80", https = "443" }

---"host:port" in lower case, the default port of the scheme filled in.
local function place_of(host, scheme)
    host = host:lower()
    if not host:match(":%d+$") and DEFAULT_PORTS[scheme] then
        host = host .. ":" .. DEFAULT_PORTS[scheme]
    end
    return host
end

---A page of this host: behind a proxy that speaks TLS for us, too, so the schemes need not be the same.
local function is_same(origin, host)
    local scheme, place = origin:lower():match("^(https?)://([^/]+)$")
    return place ~= nil and host ~= nil and place_of(place, scheme) == place_of(host, scheme)
end

local function is_allowed(origin, host, origins)
    if origin == nil or origins == "any" then
        return true -- what is no browser sends none
    elseif origins == "same" then
        return is_same(origin, host)
    end
    for _, each in ipairs(origins) do
        if each:lower() == origin:lower() then
            return true
        end
    end
    return false
end

-- ---- extensions ----

local function is_bare(value)
    return value == nil
end

local function is_window(value)
    return value ~= nil and (value:match("^[89]$") or value:match("^1[0-5]$"))
end

local OFFERED = {
    server_no_context_takeover = is_bare, client_no_context_takeover = is_bare,
    client_max_window_bits = function(value) return value == nil or is_window(value) end,
    server_max_window_bits = function(value) return value == "15" end, -- a smaller window is not for us
}
local CHOSEN = {
    server_no_context_takeover = is_bare, client_no_context_takeover = is_bare, server_max_window_bits = is_window,
}

---Whether an offer of permessage-deflate, or its answer, is one that can be taken.
---@param offer string
---@param parameters table<string, fun(value?: string): any>
local function is_good(offer, parameters)
    local name, rest = offer:match("^([^;%s]+)%s*(.*)$")
    if name ~= "permessage-deflate" then
        return false
    end
    local seen = {}
    for parameter in rest:gmatch("[^;]+") do
        local key, value = parameter:match("^%s*([%w_]+)%s*=%s*\"?(%w+)\"?%s*$")
        key = key or parameter:match("^%s*([%w_]+)%s*$")
        local check = key and parameters[key]
        if not check or seen[key] or not check(value) then
            return false
        end
        seen[key] = true
    end
    return true
end

local function takes_compression(extensions)
    for _, offer in ipairs(items(extensions)) do
        if is_good(offer, OFFERED) then
            return true
        end
    end
    return false
end

-- ---- the server's side ----

local function choose_protocol(offered, protocols)
    for _, wish in ipairs(items(offered)) do
        for _, protocol in ipairs(protocols) do
            if wish == protocol then
                return protocol
            end
        end
    end
    return nil
end

local function check(req, header)
    local wanted = (header("upgrade") or ""):lower()
    local key = header("sec-websocket-key") or ""
    if req.method ~= "GET" or not (", " .. wanted .. ","):find("[, ]websocket[, ]") then
        M.ask("the request has to ask for an upgrade to websocket")
    elseif header("sec-websocket-version") ~= "13" then
        M.ask("only version 13 of the protocol is spoken here")
    elseif not key:match("^[%w+/]+==$") or #key ~= 24 then
        refuse(400, "Sec-WebSocket-Key is missing or malformed")
    end
    return key
end

---Checks a request; raises the answer when it is none for a WebSocket, or from a page that may not.
---@param req moonloop.Request
---@param header fun(name: string): string? a field of its head
---@param rules { origins: "same"|"any"|string[], protocols: string[] }
---@param may_compress boolean
---@return table<string, string> headers of the 101
---@return string? protocol
---@return boolean compresses
function M.answer(req, header, rules, may_compress)
    local key = check(req, header)
    local origin = header("origin")
    if not is_allowed(origin, req.host, rules.origins) then
        refuse(403, ("pages of %s may not connect to %s: the option origins of app:ws says who may"):format(
            origin:gsub("%c", "?"), tostring(req.host)))
    end
    local protocol = choose_protocol(header("sec-websocket-protocol"), rules.protocols)
    local compresses = may_compress and takes_compression(header("sec-websocket-extensions"))
    return {
        ["Sec-WebSocket-Accept"] = core.accept(key),
        ["Sec-WebSocket-Protocol"] = protocol,
        ["Sec-WebSocket-Extensions"] = compresses and TAKEOVER or nil,
    }, protocol, compresses
end

-- ---- the client's side ----

---@param options { protocols: string[], compress: boolean }
---@return table<string, string> headers of the request
---@return string key
function M.ask_for(options)
    local key = core.key()
    return {
        ["Sec-WebSocket-Version"] = "13",
        ["Sec-WebSocket-Key"] = key,
        ["Sec-WebSocket-Protocol"] = options.protocols[1] and table.concat(options.protocols, ", ") or nil,
        ["Sec-WebSocket-Extensions"] = options.compress and TAKEOVER or nil,
    }, key
end

local function lists(list, name)
    for _, each in ipairs(list) do
        if each == name then
            return true
        end
    end
    return false
end

---What is wrong with a 101 (RFC 6455, 4.1); nil: nothing.
---@param headers table<string, string>
---@param key string
---@param options { protocols: string[], compress: boolean }
---@return string? fault
---@return boolean? compresses
function M.check_answer(headers, key, options)
    local extensions = headers["Sec-WebSocket-Extensions"]
    local protocol = headers["Sec-WebSocket-Protocol"]
    if headers["Sec-WebSocket-Accept"] ~= core.accept(key) then
        return "its Sec-WebSocket-Accept is not the answer to the key"
    elseif protocol and not lists(options.protocols, protocol) then
        return ("it chose the subprotocol %s, which was not offered"):format(protocol)
    elseif not extensions or extensions == "" then
        return nil, false
    elseif not options.compress or extensions:find(",") or not is_good(extensions, CHOSEN)
        or not extensions:find("server_no_context_takeover", 1, true) then
        return ("it chose the extension %s, which was not offered"):format(extensions)
    end
    return nil, true
end

return M
