--- Option tables of public functions: unknown names and wrong types are a caller's bug, said with what to do.

local suggest = require("moonloop.cli.suggest")

local M = {}

local function names_of(known)
    local names = {}
    for name in pairs(known) do
        names[#names + 1] = name
    end
    table.sort(names)
    return names
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
            local names = names_of(known)
            error(("%s: unknown option %s%s; there are %s"):format(what, tostring(name),
                suggest.hint(tostring(name), names), table.concat(names, ", ")), level)
        elseif not ("|" .. expected .. "|"):find("|" .. type(value) .. "|", 1, true) then
            error(("%s: %s: expected a %s, got a %s"):format(what, name, expected:gsub("|", " or a "), type(value)),
                level)
        end
    end
end

return M
