--- Which errors count: those that are worth another attempt, or that speak against a service.

local errors = require("moonloop.util.errors")

local M = {}

-- Never: somebody has asked for the end, or has answered, or the program is wrong and will be again.
local NEVER = { cancelled = true, abort = true, misuse = true, deadlock = true }

local function code_of(err)
    return type(err) == "table" and rawget(err, "code") or nil
end

---@param what string "retry: on"
---@param on nil|string|string[]|fun(err: any): boolean
---@param level integer of the caller to blame
---@return fun(err: any): boolean
function M.new(what, on, level)
    if on == nil then
        return function(err) return not NEVER[code_of(err)] end
    elseif type(on) == "function" then
        return function(err) return code_of(err) ~= "cancelled" and on(err) and true or false end
    elseif type(on) == "string" then
        on = { on }
    elseif type(on) ~= "table" or #on == 0 then
        error(what .. ": expected a function, a code or a list of codes, got " .. tostring(on), level + 1)
    end
    local codes = {}
    for _, code in ipairs(on) do
        if type(code) ~= "string" then
            error(what .. ": expected codes, got " .. tostring(code), level + 1)
        elseif code == "cancelled" then
            error(what .. ": what was cancelled never counts", level + 1)
        end
        codes[code] = true
    end
    return function(err) return codes[code_of(err)] or false end
end

---For xpcall: an error with the traceback of where it was raised.
---@param err any
---@return any
function M.traced(err)
    if errors.is(err) then
        return err
    end
    return errors.wrap(err, (debug.traceback("", 2):gsub("^\n", "")))
end

return M
