--- JSON both ways. The work is done in C (core/script/json_encode.c, json_decode.c); see docs/json.md.

local core = require("moonloop.core.json")
local raise = require("moonloop.util.errors").raise

local decode, encode = core.decode, core.encode
local ARRAY = core.array_mark
local OBJECT = { __jsontype = "object", __name = "moonloop.json.object" }

local M = {}

--- What JSON's null is in Lua; equal to cjson.null. nil cannot stand in a table.
---@type lightuserdata
M.null = core.null

--- Encodes as [] and cannot be changed.
---@type table
M.empty_array = setmetatable({}, {
    __jsontype = "array",
    __name = "moonloop.json.empty_array",
    __newindex = function()
        error("json.empty_array is shared: use json.array{} for a table of your own", 2)
    end,
})

---Decodes one JSON text. Objects and arrays become tables, null becomes json.null, a number the
---nearest double. Raises `json` ("json: line 2 column 14: expected ',' or '}'") unless `text` is
---valid JSON (RFC 8259) in valid UTF-8 with at most 100 levels.
---@param text string
---@return any
function M.decode(text)
    if type(text) ~= "string" then
        error("json.decode: expected a string, got " .. type(text), 2)
    end
    local value, message = decode(text)
    if message then
        raise("json", message)
    end
    return value
end

---Encodes a value. Raises `json` with the way to what cannot be encoded: "json: items[3].user:
---cannot encode a function".
---@param value any
---@param options? { pretty?: boolean }
---@return string
function M.encode(value, options)
    if options ~= nil and type(options) ~= "table" then
        error("json.encode: expected a table of options, got a " .. type(options), 2)
    end
    local text, message = encode(value, options and options.pretty)
    if message then
        raise("json", message)
    end
    return text
end

local function mark(list, meta, name)
    if type(list) ~= "table" then
        error(name .. ": expected a table, got " .. type(list), 3)
    end
    local old = getmetatable(list)
    if old ~= nil and old ~= ARRAY and old ~= OBJECT then
        error(name .. ": the table has a metatable; give that a __jsontype field", 3)
    end
    return setmetatable(list, meta)
end

---Marks a table (a new one by default) as an array: it encodes as [] even when it is empty.
---@generic T: table
---@param list? T
---@return T
function M.array(list)
    return mark(list or {}, ARRAY, "json.array")
end

---Marks a table as an object: numbers among its keys become names.
---@generic T: table
---@param map? T
---@return T
function M.object(map)
    return mark(map or {}, OBJECT, "json.object")
end

return M
