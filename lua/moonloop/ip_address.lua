--- IP addresses as bytes: what inet_pton(3) takes for one.

local ffi = require("ffi")

ffi.cdef("int inet_pton(int family, const char *text, void *address);")

local M = {}

local AF_INET, AF_INET6 = 2, 10
local MAPPED = ("\0"):rep(10) .. "\255\255"

---@param text string "127.0.0.1" or "::1"
---@return string? bytes 4 or 16, 4 for an IPv4 address within IPv6 as well; nil: it is no address
function M.bytes(text)
    local bytes = ffi.new("char[16]")
    if ffi.C.inet_pton(AF_INET, text, bytes) == 1 then
        return ffi.string(bytes, 4)
    elseif ffi.C.inet_pton(AF_INET6, text, bytes) == 1 then
        local address = ffi.string(bytes, 16)
        return address:sub(1, 12) == MAPPED and address:sub(13) or address
    end
    return nil
end

---@param text string "10.0.0.0/8", "fd00::/8", or an address
---@return boolean
function M.is_network(text)
    local host, bits = text:match("^([^/]*)/(%d%d?%d?)$")
    local bytes = M.bytes(host or text)
    return bytes ~= nil and (not bits or tonumber(bits) <= #bytes * 8)
end

return M
