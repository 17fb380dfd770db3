---@meta moonloop.core.json
--- The C half of moonloop.json (core/script/lib_json.c). Raises nothing but what a __tojson raises.

local core = {}

---@type lightuserdata
core.null = nil

--- The metatable of decoded arrays and of json.array.
---@type table
core.array_mark = nil

---@param value any
---@param is_pretty? boolean
---@return string? text
---@return string? message why there is none
function core.encode(value, is_pretty) end

---@param text string
---@return any value nil when it is no JSON
---@return string? message why
function core.decode(text) end

return core
