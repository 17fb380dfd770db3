--- What went wrong on the command line or in the configuration, as one sentence for a person.

local Fault = {}
Fault.__index = Fault
Fault.__name = "moonloop.cli.Fault"
Fault.__tostring = function(fault)
    return fault.message
end

local M = {}

---Raises a fault. The command line prints its message and exits with `exit_code`.
---@param exit_code integer 2: the words were wrong; 1: what they name was
---@param format string
function M.raise(exit_code, format, ...)
    local message = select("#", ...) > 0 and format:format(...) or format
    error(setmetatable({ message = message, exit_code = exit_code }, Fault), 0)
end

---@return boolean
function M.is(value)
    return getmetatable(value) == Fault
end

return M
