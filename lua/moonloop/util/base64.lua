--- Base64 (RFC 4648, 4), one way: what basic authentication needs.

local bit = require("bit")

local ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"

local M = {}

local function letter(bits, shift)
    local index = bit.band(bit.rshift(bits, shift), 63) + 1
    return ALPHABET:sub(index, index)
end

---@param bytes string
---@return string
function M.encode(bytes)
    local parts = {}
    for at = 1, #bytes, 3 do
        local a, b, c = bytes:byte(at, at + 2)
        local bits = a * 65536 + (b or 0) * 256 + (c or 0)
        parts[#parts + 1] = letter(bits, 18) .. letter(bits, 12) .. (b and letter(bits, 6) or "=")
            .. (c and letter(bits, 0) or "=")
    end
    return table.concat(parts)
end

return M
