--- Lines of the server's log. In a handler each carries the request's id, app and route; so it does in what a
--- handler offloads.

local write = require("moonloop.core.log").write

local M = {}

for level, name in ipairs({ "debug", "info", "warn", "error" }) do
    ---@param message any
    ---@param fields? table<string, any>
    M[name] = function(message, fields)
        write(level - 1, tostring(message), fields)
    end
end

return M
