--- Whether the examples that a page or a table names as its evidence exist: "spec/http/x_spec.lua: what it shows",
--- by the beginning of the name.

local process = require("spec.support.process")

local M = {}

---@param named string "FILE: the beginning of an example's name"
---@return string? why there is no such example; nil when there is
function M.missing(named)
    local path, name = named:match("^(%S+): (.+)$")
    if not path then
        return ("%q is not FILE: NAME"):format(named)
    end
    local text = process.read(path)
    if not text then
        return ("%s: there is no such file"):format(path)
    end
    local quoted = name:gsub("[\\\"]", "\\%0")
    for _, word in ipairs({ "it", "describe" }) do
        if text:find(word .. "(\"" .. quoted, 1, true) then
            return nil
        end
    end
    return ("%s has no example %q"):format(path, name)
end

return M
