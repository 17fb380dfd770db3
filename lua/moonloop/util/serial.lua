--- Values as bytes, by LuaJIT's string.buffer; for what may hold something that cannot be encoded.

local buffer = require("string.buffer")

local M = {}

---nil, booleans, numbers, strings, tables of them, 64-bit integers. Raises a string for anything else and for tables
---that hold themselves.
---@param value any
---@return string bytes
function M.encode(value)
    local bytes = buffer.encode(value)
    return bytes
end

-- Never compiled: LuaJIT 2.1 of January 2023 goes astray when the encoder raises in the middle of a trace, and a
-- later error that looks for its place crashes the process.
jit.off(M.encode)

---@type fun(bytes: string): any
M.decode = buffer.decode

return M
