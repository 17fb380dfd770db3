--- Option tables of public functions: unknown names and wrong types are a caller's bug, said with what to do.

local M = {}

local function names_of(known)
    if known[1] then
        return known
    end
    local names = {}
    for name in pairs(known) do
        names[#names + 1] = name
    end
    table.sort(names)
    return names
end

---What is said of an option that there is not.
---@param what string whose options they are
---@param name any
---@param known string[]|table<string, any> their names, in the order to show them; or a table by name
---@return string message
function M.unknown(what, name, known)
    local suggest = require("moonloop.cli.suggest")
    local names = names_of(known)
    return ("%s: unknown option %s%s; there are %s"):format(what, tostring(name), suggest.hint(tostring(name), names),
        table.concat(names, ", "))
end

---Raises, at the caller's caller, what is wrong with an option table.
---@param what string the function, for the message
---@param options table
---@param known table<string, string> type of each option; "number|string" where either will do
---@param level? integer as of error(); default 2: the caller of the function that checks
function M.check(what, options, known, level)
    level = (level or 2) + 1
    for name, value in pairs(options) do
        local expected = known[name]
        if not expected then
            error(M.unknown(what, name, known), level)
        elseif not ("|" .. expected .. "|"):find("|" .. type(value) .. "|", 1, true) then
            error(("%s: %s: expected a %s, got a %s"):format(what, name, expected:gsub("|", " or a "), type(value)),
                level)
        end
    end
end

return M
