--- The way back from a value to the name under which every VM of this program can load it.

local environment = require("moonloop.environment")
local funcinfo = require("jit.util").funcinfo

local M = {}

---@class moonloop.names.Name
---@field module? string
---@field field? string of the module's table
---@field app? string whose module it is
---@field globals? string the value is the table of an app's globals

-- Values as keys, weak.
local names = setmetatable({}, { __mode = "k" })
local counts = {} -- by app, "" for the system: modules loaded when `names` was filled

local BUILTINS = { "string", "table", "math", "io", "os", "coroutine", "debug", "bit", "jit", "ffi", "package" }

---Tables that are no modules go by name only when they look like a class: their identity matters then.
local function is_class(value)
    return type(value) == "table" and (rawget(value, "__index") ~= nil or rawget(value, "__name") ~= nil)
end

local function can_be_named(module, item)
    if module == "_G" then -- what a script defines there is nowhere else
        return type(item) == "function" and not funcinfo(item).proto
    end
    return type(item) == "function" or is_class(item)
end

local function add_fields(module, value, app)
    if type(value) ~= "table" then
        return
    end
    for field, item in next, value do
        if type(field) == "string" and can_be_named(module, item) and names[item] == nil then
            names[item] = { module = module, field = field, app = app }
        end
    end
end

local function add_modules(loaded, app)
    local list = {}
    for name, value in next, loaded do
        if type(name) == "string" and (type(value) == "table" or type(value) == "function") then
            list[#list + 1] = name
            if names[value] == nil or names[value].field then
                names[value] = { module = name, app = app }
            end
        end
    end
    table.sort(list)
    for _, name in ipairs(app and {} or BUILTINS) do
        add_fields(name, loaded[name])
    end
    for _, name in ipairs(list) do
        add_fields(name, loaded[name], app)
    end
end

local function refresh(key, loaded, app)
    local count = 0
    for _ in next, loaded do
        count = count + 1
    end
    if counts[key] ~= count then
        counts[key] = count
        add_modules(loaded, app)
    end
end

---Learns of modules loaded since the last time. Called once for each message that holds more than plain values.
function M.refresh()
    refresh("", package.loaded)
    for app, env in environment.all() do
        refresh(app, env.package.loaded, app)
    end
end

---@param value any
---@return moonloop.names.Name? name nil for a value that has none
function M.find(value)
    local known = names[value]
    if known then
        return known
    end
    local app = environment.app_of(value)
    return app and { globals = app } or nil
end

return M
