--- Lines of the server's log. In a handler each carries the request's id, app and route.

local write = require("moonloop.core.log").write

local M = {}

local context = nil

---Fields for every line from now on: which request an offload thread works for, where the core cannot know.
---@param fields table<string, string>?
function M.set_context(fields)
    context = fields
end

local function with_context(fields)
    local all = {}
    for name, value in pairs(context) do
        all[name] = value
    end
    for name, value in pairs(fields or {}) do
        all[name] = value
    end
    return all
end

for level, name in ipairs({ "debug", "info", "warn", "error" }) do
    ---@param message any
    ---@param fields? table<string, any>
    M[name] = function(message, fields)
        write(level - 1, tostring(message), context and with_context(fields) or fields)
    end
end

return M
