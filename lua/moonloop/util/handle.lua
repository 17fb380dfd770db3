--- What the objects that a program keeps have in common: they print as what they are, and a method that was called
--- with a dot says so.

local M = {}

local ARGUMENTS = 4 -- beyond self: more, or "...", go through a slower door

local function called_with_a_dot(what, name, got)
    local kind = got == nil and "nothing" or type(got) == "string" and "a string" or "a " .. type(got)
    error(("%s:%s: got %s where the %s should be: call it with a colon, as x:%s(...), not x.%s(...)"):format(
        what:gsub(" ", "_"), name, kind, what, name, name), 3)
end

---A method that first makes sure whose it is. Tail calls: it leaves no frame, so levels of error() are as they were.
local function guarded(class, what, name, method)
    local info = debug.getinfo(method, "u")
    if info.isvararg or info.nparams > ARGUMENTS + 1 then
        return function(self, ...)
            if getmetatable(self) ~= class then
                called_with_a_dot(what, name, self)
            end
            return method(self, ...)
        end
    end
    return function(self, a, b, c, d)
        if getmetatable(self) ~= class then
            called_with_a_dot(what, name, self)
        end
        return method(self, a, b, c, d)
    end
end

---Completes a class, once all its methods are there.
---@param class table the metatable of its objects
---@param what string for messages: "channel"
---@param describe fun(self: table): string what an object prints as
---@param methods? table where its methods are; `class` itself
function M.finish(class, what, describe, methods)
    methods = methods or class
    class.__tostring = describe
    for name, method in pairs(methods) do
        if type(method) == "function" and name:sub(1, 2) ~= "__" then
            methods[name] = guarded(class, what, name, method)
        end
    end
end

---"channel jobs (2 of 3 values, closed)".
---@param name string
---@param ... string|false|nil what there is to say, in order; what is false or nil is left out
---@return string
function M.text(name, ...)
    local parts = {}
    for i = 1, select("#", ...) do
        local part = select(i, ...)
        if part then
            parts[#parts + 1] = part
        end
    end
    return #parts > 0 and ("%s (%s)"):format(name, table.concat(parts, ", ")) or name
end

return M
