--- Where the shared dictionary of `run` and `test` lies: by MOONLOOP_SHARED_PATH and its sisters as for serve,
--- else in a directory of the process's own; a process that another one started for its work shares that one's.

local options = require("moonloop.cli.options")
local values = require("moonloop.cli.values")

local M = {}

local NAMES = { "shared_path", "shared_size", "shared_sync" }

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
    local given = {}
    for _, name in ipairs(NAMES) do
        local value, problem = read(name)
        given[name] = value
        if problem then
            return problem
        end
    end
    local core = require("moonloop.core.shared")
    if joined then
        core.join(joined)
        return nil
    end
    local is_done, why = core.use(given.shared_path, given.shared_size, given.shared_sync)
    return not is_done and why or nil
end

return M
