--- Query strings and urlencoded forms: a table of names and values as text (WHATWG URL, 5.2).

local core = require("moonloop.core.http")
local options = require("moonloop.http.options")

local misuse = options.misuse

local M = {}

local function text_of(what, name, value)
    local kind = type(value)
    if kind == "number" and value - value == 0 then
        return options.number_text(value)
    elseif kind ~= "string" and kind ~= "boolean" then
        misuse("http: %s %s: cannot encode %s", what, tostring(name), kind == "number" and tostring(value)
            or "a " .. kind)
    end
    return tostring(value)
end

local function add(parts, what, name, value)
    if type(name) ~= "string" then
        misuse("http: %s: expected a name, got %s; a list is one of pairs: { { \"name\", value }, ... }", what,
            type(name) == "number" and "the number " .. tostring(name) or "a " .. type(name))
    end
    parts[#parts + 1] = core.encode(name) .. "=" .. core.encode(text_of(what, name, value))
end

---Raises unless a table is a list without holes: what has names would be lost.
---@param what string
---@param name any
---@param list table
function M.check_list(what, name, list)
    local count = 0
    for _ in pairs(list) do
        count = count + 1
    end
    if count ~= #list then
        misuse("http: %s %s: a table that is no list cannot be encoded; send it as json, or name its fields %q", what,
            tostring(name), tostring(name) .. "[...]")
    end
end

local function add_all(parts, what, name, value)
    if type(value) ~= "table" then
        add(parts, what, name, value)
        return
    end
    M.check_list(what, name, value)
    for _, each in ipairs(value) do
        add(parts, what, name, each)
    end
end

---Names with values, in the order of a list of pairs, or of names, so that equal tables give equal text.
---@param map table<string, any>|{ [1]: string, [2]: any }[]
---@param what string for messages
---@return { [1]: string, [2]: any }[]
function M.pairs_of(map, what)
    if map[1] ~= nil then
        for i, pair in ipairs(map) do
            if type(pair) ~= "table" or #pair ~= 2 then
                misuse("http: %s: expected names with values, or a list of pairs: { { \"name\", value }, ... }; "
                    .. "item %d is none", what, i)
            end
        end
        return map
    end
    local list = {}
    for name, value in pairs(map) do
        list[#list + 1] = { name, value }
    end
    table.sort(list, function(a, b)
        return tostring(a[1]) < tostring(b[1])
    end)
    return list
end

---@param map table<string, any>|{ [1]: string, [2]: any }[] a list of pairs keeps its order; a value that is a list
---  gives several pairs
---@param what string "query" or "form", for messages
---@return string
function M.encode(map, what)
    local parts = {}
    for _, pair in ipairs(M.pairs_of(map, what)) do
        add_all(parts, what, pair[1], pair[2])
    end
    return table.concat(parts, "&")
end

return M
