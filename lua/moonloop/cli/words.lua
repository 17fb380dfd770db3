--- The command line that starts a server as it was given: for units and images, which write it down.

local options = require("moonloop.cli.options")

local M = {}

--- Types whose values start at the directory where they were written.
local IS_SETTLED = { path = true, paths = true, log = true, list = true }

---@param given table<string, any> what was written
---@param settled table<string, any> what it means: paths are absolute there
---@param left_out table<string, boolean> names
---@return string[]
function M.of(given, settled, left_out)
    local words = {}
    for _, option in ipairs(options.list) do
        local value = settled[option.name]
        if given[option.name] ~= nil and not left_out[option.name] then
            if option.type == "boolean" then
                words[#words + 1] = (value and "--" or "--no-") .. options.flag(option):sub(3)
            else
                local written = IS_SETTLED[option.type] and value or given[option.name]
                for _, each in ipairs(type(written) == "table" and written or { written }) do
                    words[#words + 1] = options.flag(option)
                    words[#words + 1] = tostring(each)
                end
            end
        end
    end
    if settled.config_file then
        words[#words + 1] = "--config"
        words[#words + 1] = settled.config_file
    end
    return words
end

---The ports of TCP addresses.
---@param addresses string[]
---@return integer[]
function M.ports(addresses)
    local ports = {}
    for _, address in ipairs(addresses) do
        local bare = address:gsub("^proxy%+", "")
        local port = not bare:match("^unix:") and not bare:match("^fd:") and bare:match(":(%d+)$")
        ports[#ports + 1] = tonumber(port)
    end
    return ports
end

return M
