---@meta moonloop.core.log
--- Lines of the log in C, for lua/moonloop/log.lua.

local core = {}

---Writes a line, with the id, app and route of the request at hand. Nothing below the level of the log.
---@param level 0|1|2|3 debug, info, warning, error
---@param message string
---@param fields? table<string, any> the first 32 count; names become lower case, with _ for what is no letter or digit
function core.write(level, message, fields) end

return core
