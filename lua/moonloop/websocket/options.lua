--- What app:ws and clients can say about a WebSocket: defaults, and what is wrong with what was given.

local options_of = require("moonloop.options")

local M = {}

local LIMITS = {
    max_message = { 1024 * 1024, 1, 1024 * 1024 * 1024 }, -- default, least, most
    max_frame = { nil, 1, 1024 * 1024 * 1024 },
    ping_interval = { 20, 0, 86400 },
    ping_timeout = { 20, 0, 86400 },
    close_timeout = { 5, 0, 86400 },
}

local KNOWN = {
    max_message = "number", max_frame = "number", ping_interval = "number", ping_timeout = "number",
    close_timeout = "number", compress = "boolean", protocols = "table",
}

local SERVER = { drain_timeout = "number", origins = "table|string", limit = "number", timeout = "number" }

local function with(more)
    local known = {}
    for _, each in ipairs({ KNOWN, more }) do
        for name, kind in pairs(each) do
            known[name] = kind
        end
    end
    return known
end

local SERVER_KNOWN = with(SERVER)

local function in_range(what, name, value, least, most, level)
    if not (value >= least and value <= most) then
        error(("%s: %s: expected %g to %g, got %s"):format(what, name, least, most, value), level + 1)
    end
    return value
end

local function check_protocols(what, protocols, level)
    for _, protocol in ipairs(protocols or {}) do
        if type(protocol) ~= "string" or not protocol:match("^[%w!#$%%&'*+%-.^_`|~]+$") then
            error(("%s: protocols: expected names such as \"chat.v1\", got %s"):format(what, tostring(protocol)),
                level + 1)
        end
    end
    return protocols or {}
end

local function settle(what, options, is_client, level)
    local settings = { is_client = is_client, compress = options.compress == true }
    for name, limit in pairs(LIMITS) do
        settings[name] = in_range(what, name, options[name] or limit[1] or math.huge, limit[2],
            options[name] and limit[3] or math.huge, level + 1)
    end
    settings.max_frame = math.min(settings.max_frame, settings.max_message + 4096)
    return settings
end

---@class moonloop.WebSocketOptions
---@field limit? integer sockets of this route at once, in each worker; beyond it 503
---@field timeout? number seconds for the handshake and the middleware before it; default: the server's
---@field protocols? string[] subprotocols; of those that the client prefers, the first that is in here is taken
---@field origins? "same"|"any"|string[] pages from where a browser may connect; default "same": of this host
---@field max_message? integer bytes (1048576); beyond it the socket is closed with 1009
---@field max_frame? integer bytes; default: as long as the message may be
---@field ping_interval? number seconds of silence (20) until the client is pinged; 0: never
---@field ping_timeout? number seconds (20) until an answer, then the client counts as gone; 0: for ever
---@field close_timeout? number seconds (5) that the other side has for its goodbye, and the handler after the client's
---@field drain_timeout? number seconds (10) of grace when the code is replaced or the worker stops
---@field compress? boolean permessage-deflate, when the client offers it (false)

---@param options moonloop.WebSocketOptions
---@param level integer as of error()
---@return table settings for moonloop.websocket
---@return table rules of the handshake
---@return table route options of the route
function M.of_route(options, level)
    options_of.check("app:ws", options, SERVER_KNOWN, level)
    local origins = options.origins or "same"
    if type(origins) == "string" and origins ~= "same" and origins ~= "any" then
        origins = { origins }
    end
    for _, origin in ipairs(type(origins) == "table" and origins or {}) do
        if type(origin) ~= "string" or not (origin == "null" or origin:match("^%a[%w+.-]*://[^/]+$")) then
            error(("app:ws: origins: expected \"same\", \"any\" or a list of such as \"https://example.com\", got %s")
                :format(tostring(origin)), level)
        end
    end
    local rules = { origins = origins, protocols = check_protocols("app:ws", options.protocols, level) }
    rules.drain_timeout = in_range("app:ws", "drain_timeout", options.drain_timeout or 10, 0, 86400, level)
    local route = { limit = options.limit, timeout = options.timeout, run = "loop" }
    return settle("app:ws", options, false, level), rules, route
end

---@param what string the function, for messages
---@param options table
---@param level integer as of error()
---@return table settings for moonloop.websocket
---@return string[] protocols
function M.of_client(what, options, level)
    options_of.check(what, options, KNOWN, level)
    return settle(what, options, true, level), check_protocols(what, options.protocols, level)
end

return M
