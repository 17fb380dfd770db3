--- What the handles of timers and of background tasks have in common: fields that are worked out when they are asked
--- for, and the line that `moonloop ps` shows.

local errors = require("moonloop.util.errors")
local handle = require("moonloop.util.handle")

local M = {}

---A class of handles.
---@param name string
---@param methods table<string, function>
---@param getters table<string, fun(self: table): any> by field
---@return table metatable
function M.class(name, methods, getters)
    local class = { __name = name }
    function class.__index(self, key)
        local getter = getters[key]
        if getter then
            return getter(self)
        end
        return methods[key]
    end
    return class
end

---Completes a class, once its methods are there.
---@param class table
---@param what string "timer"
---@param methods table<string, function>
function M.finish(class, what, methods)
    handle.finish(class, what, function(self)
        return handle.text(what .. " " .. self.name, self.state)
    end, methods)
end

---@param class table
---@param fields table
---@param given table copied into it
---@return table
function M.new(class, fields, given)
    for name, value in pairs(given) do
        fields[name] = value
    end
    return setmetatable(fields, class)
end

---@param self moonloop.Timer|moonloop.Background
---@return moonloop.Activity
function M.row(self)
    local last_error = self.last_error
    return {
        kind = self.kind, name = self.name, label = self.label, app = self.app_name, state = self.state,
        runs = self.runs, since = self.since, next_run = self.next_run,
        detail = last_error and "last error: " .. errors.message(last_error):match("[^\n]*") or nil,
    }
end

return M
