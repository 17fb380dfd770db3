--- Headers of the PROXY protocol for specs, made byte by byte.

local bit = require("bit")

local M = {}

M.SIGNATURE = "\r\n\r\n\0\r\nQUIT\n"

local function u16(number)
    return string.char(math.floor(number / 256), number % 256)
end

local function four(address)
    return string.char(address:match("(%d+)%.(%d+)%.(%d+)%.(%d+)"))
end

---@param address string "1.2.3.4"
---@param family? string
---@return string a header of version 1
function M.line(address, family)
    return ("PROXY %s %s %s 1000 443\r\n"):format(family or "TCP4", address, family == "TCP6" and "::1" or "127.0.0.1")
end

---@param kind integer
---@param value string
function M.tlv(kind, value)
    return string.char(kind) .. u16(#value) .. value
end

---@class spec.AnnouncementOptions
---@field command? integer 0: LOCAL; 1: PROXY
---@field family? integer the byte; 0x11: TCP over IPv4
---@field addresses? string bytes
---@field extras? string bytes of TLVs
---@field length? integer what the header says, if that is another

---@param address? string "1.2.3.4"
---@param options? spec.AnnouncementOptions
---@return string a header of version 2
function M.binary(address, options)
    options = options or {}
    local addresses = options.addresses or address and four(address) .. four("127.0.0.1") .. u16(1000) .. u16(443) or ""
    local rest = addresses .. (options.extras or "")
    return M.SIGNATURE .. string.char(0x20 + (options.command or 1), options.family or 0x11)
        .. u16(options.length or #rest) .. rest
end

---@param bytes string
---@return integer of Castagnoli
local function crc32c(bytes)
    local sum = bit.tobit(0xffffffff)
    for i = 1, #bytes do
        sum = bit.bxor(sum, bytes:byte(i))
        for _ = 1, 8 do
            sum = bit.bxor(bit.rshift(sum, 1), bit.band(bit.tobit(0x82f63b78), -bit.band(sum, 1)))
        end
    end
    return bit.bnot(sum)
end

---@param address string
---@param flaw? integer added to the sum
---@return string a header of version 2 with a checksum
function M.with_sum(address, flaw)
    local empty = M.binary(address, { extras = M.tlv(4, "padding") .. M.tlv(3, "\0\0\0\0") })
    local sum = crc32c(empty) + (flaw or 0)
    return empty:sub(1, -5) .. string.char(bit.band(bit.rshift(sum, 24), 255), bit.band(bit.rshift(sum, 16), 255),
        bit.band(bit.rshift(sum, 8), 255), bit.band(sum, 255))
end

return M
