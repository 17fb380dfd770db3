--- The client's side of a WebSocket: http.websocket, client:websocket.

local errors = require("moonloop.util.errors")
local handshake = require("moonloop.websocket.handshake")
local options_of = require("moonloop.websocket.options")
local websocket = require("moonloop.websocket")

local M = {}

---@class moonloop.http.WebSocketOptions
---@field headers? table<string, string>
---@field timeout? number seconds for the handshake; default: the client's
---@field protocols? string[] subprotocols, the best liked first
---@field max_message? integer bytes (1048576)
---@field max_frame? integer bytes
---@field ping_interval? number seconds (20); 0: never
---@field ping_timeout? number seconds (20); 0: for ever
---@field close_timeout? number seconds (5)
---@field compress? boolean offers permessage-deflate (false)

local SCHEMES = { ws = "http", wss = "https" }

local function to_http(url)
    local scheme, rest = url:match("^(%a+)(://.*)$")
    local other = scheme and SCHEMES[scheme:lower()]
    return other and other .. rest or url
end

local function without_request(options)
    local own = {}
    for name, value in pairs(options) do
        if name ~= "headers" and name ~= "timeout" then
            own[name] = value
        end
    end
    return own
end

local function refuse(code, url, why, fields)
    error(errors.new(code, ("no WebSocket to %s: %s"):format(url, why), fields), 0)
end

---@param client moonloop.http.Client
---@param url string
---@param options? moonloop.http.WebSocketOptions
---@return moonloop.WebSocket
function M.connect(client, url, options)
    options = options or {}
    if type(url) ~= "string" or type(options) ~= "table" then
        error("websocket: expected a URL, and a table of options if there are any", 3)
    end
    local settings, protocols = options_of.of_client("websocket", without_request(options), 4)
    local offer = { protocols = protocols, compress = settings.compress }
    local headers, key = handshake.ask_for(offer)
    for name, value in pairs(options.headers or {}) do
        headers[name] = value
    end
    local res = client:request({
        method = "GET", url = to_http(url), headers = headers, timeout = options.timeout, upgrade = "websocket",
    })
    local connection = res.connection
    if not connection then
        refuse("refused", url, ("it was answered %d"):format(res.status), { status = res.status, body = res:body() })
    end
    local fault, compresses = handshake.check_answer(res.headers, key, offer)
    if fault then
        connection:close()
        refuse("protocol", url, fault)
    end
    settings.compress = compresses
    return websocket.open(connection:detach(), settings, res.headers["Sec-WebSocket-Protocol"])
end

return M
