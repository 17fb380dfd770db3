--- A WebSocket (RFC 6455), after its handshake: what handlers of app:ws and clients have in their hands.

local core = require("moonloop.core.websocket")
local errors = require("moonloop.util.errors")
local handles = require("moonloop.util.handle")
local streams = require("moonloop.streams")

local settle = errors.settle

local M = {}

---@class moonloop.WebSocket: moonloop.Stream
---@field protocol? string the subprotocol that both agreed on
---@field draining boolean the server wants it to end: a reload or a stop
---@field closed boolean nothing can be sent any more
---@field state "open"|"closing"|"closed" closing: our goodbye is sent, the other side's is awaited
---@field close_code? integer once either side has said goodbye; 1005: without a code, 1006: gone without a goodbye
---@field close_reason? string
---@field private handle userdata
local WebSocket = { __name = "moonloop.WebSocket", __transfer = false }

local methods = {}

local COMPUTED = {
    draining = function() return false end,
    drain_timeout = function(self) return self.rules.drain_timeout end,
    state = function(self) return (core.state(self.handle)) end,
    closed = function(self) return (core.state(self.handle)) ~= "open" end,
    close_code = function(self) return (select(2, core.state(self.handle))) end,
    close_reason = function(self) return (select(3, core.state(self.handle))) end,
}

function WebSocket.__index(self, key)
    local method = methods[key]
    if method then
        return method
    end
    local computed = COMPUTED[key]
    return computed and computed(self)
end

---@class moonloop.WebSocketLimits
---@field max_message integer bytes
---@field max_frame integer bytes
---@field ping_interval number seconds; 0: no pings
---@field ping_timeout number seconds; 0: no limit
---@field close_timeout number seconds; 0: no limit

---@param duplex userdata a connection after its 101
---@param settings { is_client: boolean, compress: boolean } with moonloop.WebSocketLimits
---@param protocol? string
---@param rules? { drain_timeout: number } of its route; a client has none
---@return moonloop.WebSocket
function M.open(duplex, settings, protocol, rules)
    return setmetatable({
        handle = core.open(duplex, settings), protocol = protocol, rules = rules, since = rules and os.time(),
    }, WebSocket) -- four fields: there may be many of them, for long
end

---The next message; waits for it. nil when there will be none any more: the other side has said goodbye or gone, or
---this one has. One task at a time. A wait that is cut short loses nothing.
---@return string? message
---@return "text"|"binary"|nil kind
function methods:receive()
    return settle(core.receive(self.handle))
end

---Iterates over the messages, to the end: `for message, kind in ws:messages() do`.
---@return fun(): string?, string?
function methods:messages()
    local handle = self.handle
    return function()
        return settle(core.receive(handle))
    end
end

local function bytes_of(message)
    if type(message) == "string" then
        return message, false
    elseif type(message) ~= "table" then
        error("ws:send: expected a text, { binary = bytes } or { json = value }, got a " .. type(message), 3)
    elseif type(message.binary) == "string" then
        return message.binary, true
    elseif type(message.text) == "string" then
        return message.text, false
    elseif message.json ~= nil then
        return require("moonloop.json").encode(message.json), false
    end
    error("ws:send: expected one of binary, text (strings) and json in the table", 3)
end

---Sends a message: a text, `{ binary = bytes }` or `{ json = value }`. Waits while more than 256 KiB are on their way;
---from several tasks as well. Raises `closed` when nothing can be sent any more, `misuse` for text that is not UTF-8.
---@param message string|{ binary?: string, text?: string, json?: any }
function methods:send(message)
    local bytes, is_binary = bytes_of(message)
    settle(core.send(self.handle, bytes, is_binary))
end

---Says goodbye, and does not wait. What is on its way still arrives; nothing more is received. Harmless when it is
---closed.
---@param code? integer 1000 (the default) to 1014, or your own: 3000 to 4999
---@param reason? string at most 123 bytes of UTF-8
function methods:close(code, reason)
    code = code or 1000
    if type(code) ~= "number" or code % 1 ~= 0 or code < 1000 or code > 4999 then
        error(("ws:close: expected a code of 1000 to 4999, got %s"):format(tostring(code)), 2)
    elseif code == 1004 or code == 1005 or code == 1006 or (code > 1014 and code < 3000) then
        error(("ws:close: %d may not be sent: 1000 is the usual one, 3000 to 4999 are yours"):format(code), 2)
    elseif reason ~= nil and (type(reason) ~= "string" or #reason > 123) then
        error("ws:close: expected a reason of at most 123 bytes", 2)
    end
    core.close(self.handle, code, reason, true)
end

---Calls `callback(ws)`, as a task of its own, when the server wants the socket to end: see docs/websocket.md. At once
---when it does already.
---@param callback fun(ws: moonloop.WebSocket)
function methods:on_draining(callback)
    streams.on_draining(self, callback)
end

---For streams.lua: what the client sent before it hears of it is still received.
---@param code integer
function methods:finish_draining(code)
    core.close(self.handle, code, code == 1012 and "the server restarts" or "the server stops")
end

---Says goodbye, if nobody has, and waits until the other side has, or has gone. No part of the face.
---@param ws moonloop.WebSocket
---@param code integer
---@param reason? string
function M.finish(ws, code, reason)
    core.close(ws.handle, code, reason, true)
    settle(core.wait_over(ws.handle))
    core.release(ws.handle)
end

handles.finish(WebSocket, "ws", function(self)
    return handles.text("WebSocket", self.state, rawget(self, "protocol"), self.draining and "draining")
end, methods)

return M
