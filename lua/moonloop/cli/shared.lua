--- Where the shared dictionary of `run` and `test` lies: by MOONLOOP_SHARED_PATH and MOONLOOP_SHARED_SIZE as for
--- serve, else in a directory of the process's own; a process that another one started for its work shares that one's.

local options = require("moonloop.cli.options")
local values = require("moonloop.cli.values")

local M = {}

--- Set for processes that work for another one.
M.JOIN = options.private_prefix .. "SHARED"

---@return any value
---@return string? problem
local function read(name)
    local option = options.by_name[name]
    local text = os.getenv(options.variable(option))
    if not text then
        return option.default
    end
    local value, expected = values.read(option, text)
    if value == nil then
        return nil, ("%s: expected %s, got %s"):format(options.variable(option), expected, values.show(text))
    end
    return value
end

---Called before a script runs.
---@return string? problem
function M.settle()
    local joined = os.getenv(M.JOIN)
    local path, path_problem = read("shared_path")
    local size, size_problem = read("shared_size")
    if path_problem or size_problem then
        return path_problem or size_problem
    elseif joined then
        require("moonloop.core.shared").join(joined)
    elseif path or size ~= options.by_name.shared_size.default then
        local is_done, why = require("moonloop.core.shared").use(path, size)
        return not is_done and why or nil
    end
end

return M
