--- WebSocket frames for specs (RFC 6455, 5.2), made and taken apart in Lua, and a client of raw frames.

local bit = require("bit")

local M = {}

M.CONTINUATION, M.TEXT, M.BINARY, M.CLOSE, M.PING, M.PONG = 0, 1, 2, 8, 9, 10

local MASK = "\55\250\33\61"
local KEY = "dGhlIHNhbXBsZSBub25jZQ=="

---@param text string
---@param mask string 4 bytes
---@return string
function M.masked(text, mask)
    local bytes = { mask:byte(1, 4) }
    local parts = {}
    for at = 1, #text, 4096 do
        local piece = { text:byte(at, math.min(at + 4095, #text)) }
        for i, byte in ipairs(piece) do
            piece[i] = string.char(bit.bxor(byte, bytes[(at + i - 2) % 4 + 1]))
        end
        parts[#parts + 1] = table.concat(piece)
    end
    return table.concat(parts)
end

local function number(value, count)
    local bytes = {}
    for i = count, 1, -1 do
        bytes[i] = string.char(value % 256)
        value = math.floor(value / 256)
    end
    return table.concat(bytes)
end

---A frame of a client. `fin`, `masked`: true unless false. `rsv`: 0 to 7. `length`: what the head says, instead of
---the payload's; `form`: 7, 16 or 64, bits of the length, instead of the shortest.
---@param opcode integer
---@param payload? string
---@param options? { fin?: boolean, masked?: boolean, rsv?: integer, length?: integer, form?: integer }
---@return string
function M.frame(opcode, payload, options)
    payload, options = payload or "", options or {}
    local length = options.length or #payload
    local form = options.form or length < 126 and 7 or length < 65536 and 16 or 64
    local mask = options.masked ~= false
    local first = opcode + (options.fin == false and 0 or 128) + (options.rsv or 0) * 16
    local second = (mask and 128 or 0) + (form == 7 and length or form == 16 and 126 or 127)
    return string.char(first, second) .. (form == 7 and "" or number(length, form / 8))
        .. (mask and MASK .. M.masked(payload, MASK) or payload)
end

---@param code integer
---@param reason? string
---@return string payload of a close frame
function M.close_payload(code, reason)
    return number(code, 2) .. (reason or "")
end

---@class spec.WebSocket
---@field connection spec.Connection
---@field head string of the answer to its handshake
---@field status integer
local Client = {}
Client.__index = Client

---Asks for an upgrade; the status tells whether it was one.
---@param connection spec.Connection
---@param path string
---@param headers? table<string, string|false> more of them, or others; false: without it
---@return spec.WebSocket
function M.connect(connection, path, headers)
    local all = {
        Host = "localhost", Connection = "Upgrade", Upgrade = "websocket", ["Sec-WebSocket-Version"] = "13",
        ["Sec-WebSocket-Key"] = KEY,
    }
    for name, value in pairs(headers or {}) do
        all[name] = value or nil
    end
    local lines = {}
    for name, value in pairs(all) do
        lines[#lines + 1] = name .. ": " .. value .. "\r\n"
    end
    connection:send(("GET %s HTTP/1.1\r\n%s\r\n"):format(path, table.concat(lines)))
    local head = assert(connection:read_until("\r\n\r\n"))
    local status = tonumber(head:match("^HTTP/1.1 (%d+)"))
    return setmetatable({ connection = connection, head = head, status = status }, Client)
end

---@param opcode integer
---@param payload? string
---@param options? table see frame
function Client:frame(opcode, payload, options)
    return self.connection:send(M.frame(opcode, payload, options))
end

---@param text string
function Client:send(text)
    return self:frame(M.TEXT, text)
end

local function to_number(bytes)
    local value = 0
    for i = 1, #bytes do
        value = value * 256 + bytes:byte(i)
    end
    return value
end

---The next frame of the server; nil at the end.
---@return { opcode: integer, fin: boolean, rsv: integer, masked: boolean, payload: string, code?: integer }?
function Client:read()
    local head = self.connection:read_bytes(2)
    if not head or #head < 2 then
        return nil
    end
    local first, second = head:byte(1, 2)
    local length = second % 128
    if length > 125 then
        length = to_number(assert(self.connection:read_bytes(length == 126 and 2 or 8)))
    end
    local payload = length == 0 and "" or assert(self.connection:read_bytes(length))
    local frame = {
        opcode = first % 16, fin = first >= 128, rsv = math.floor(first / 16) % 8, masked = second >= 128,
        payload = payload,
    }
    if frame.opcode == M.CLOSE then
        frame.code = #payload >= 2 and to_number(payload:sub(1, 2)) or 1005
        frame.payload = payload:sub(3)
    end
    return frame
end

---The next message in one frame; any other frame is an error.
---@return string
function Client:receive()
    local frame = assert(self:read(), "the connection has ended")
    assert(frame.opcode == M.TEXT or frame.opcode == M.BINARY,
        ("got a frame of opcode %d: %s %s"):format(frame.opcode, tostring(frame.code), frame.payload))
    return frame.payload
end

---Says goodbye and reads to the end.
---@param code? integer
---@return integer? code what the server has answered
function Client:finish(code)
    self:frame(M.CLOSE, M.close_payload(code or 1000))
    local answered
    for frame in function() return self:read() end do
        answered = frame.code or answered
    end
    self.connection:close()
    return answered
end

return M
