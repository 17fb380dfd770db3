--- Plain values: what string.buffer can write. It says what it cannot; this says where that is.

local serial = require("moonloop.util.serial")

local M = {}

local MAX_STEPS = 100000

---@param key any
---@return string as a step of the way to a value: ".name", "[1]"
function M.show_key(key)
    if type(key) == "string" and key:match("^[%a_][%w_]*$") then
        return "." .. key
    end
    return "[" .. (type(key) == "string" and ("%q"):format(key) or tostring(key)) .. "]"
end

local NOUNS = { thread = "coroutine", cdata = "cdata value" }
local REFUSED = { ["function"] = true, thread = true, userdata = true, cdata = true }

-- 64-bit integers and json.null are fine.
local function is_refused(value)
    return REFUSED[type(value)] and not pcall(serial.encode, value)
end

---The first value that is not plain: breadth first would be fairer, depth first is simpler.
local function find(value, way, open, budget)
    budget.left = budget.left - 1
    if budget.left < 0 then
        return nil
    elseif is_refused(value) then
        return way, "a " .. (NOUNS[type(value)] or type(value))
    elseif type(value) ~= "table" then
        return nil
    elseif open[value] then
        return way, "a table that holds itself"
    end
    open[value] = true
    for key, item in next, value do
        local where, what = find(key, way .. ", key", open, budget)
        if not where then
            where, what = find(item, way .. M.show_key(key), open, budget)
        end
        if where then
            return where, what
        end
    end
    open[value] = nil
    return nil
end

---Why a value could not be written: "message.user.callback: cannot send a function".
---@param value any
---@param name string what the value is called
---@param reason string what string.buffer said
---@return string
function M.explain(value, name, reason)
    local ok, where, what = pcall(find, value, name, {}, { left = MAX_STEPS })
    if ok and where then
        return ("%s: cannot send %s"):format(where, what)
    end
    return ("%s: %s"):format(name, reason)
end

return M
