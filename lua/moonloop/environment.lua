--- The surroundings of one app: its globals, its own view of `package.loaded`, its `require`. The same on the
--- loop's thread and on an offload thread; only where the bytes of files come from differs.

---@class moonloop.environment.Source
---@field file fun(app: string, name: string): string? the bytes of a file as this app sees it
---@field add_file fun(path: string) a file outside the apps directory was required

local M = {}

-- Both weak: an environment lives as long as functions of its app.
local app_of = setmetatable({}, { __mode = "k" })
local environments = setmetatable({}, { __mode = "v" })

local function undeclared(verb)
    return function(_, name)
        error(("undeclared global %q is %s; put `local` before its first use"):format(tostring(name), verb), 2)
    end
end

local function no_exit()
    error("os.exit would end the worker with all its requests; return, or call moonloop.abort", 2)
end

local function no_method(_, name)
    error(("string.%s is written: the methods of strings belong to all apps; make it a function of your own")
        :format(tostring(name)), 2)
end

---What an app changes in `table`, `string` and the others is changed for that app alone.
local function add_libraries(env, loaded)
    for name, value in pairs(_G) do
        if type(value) == "table" and package.loaded[name] == value and name ~= "_G" and name ~= "package" then
            local library = {}
            for field, item in pairs(value) do
                library[field] = item
            end
            env[name], loaded[name] = library, library
        end
    end
    env.os.exit = no_exit
    setmetatable(env.string, { __newindex = no_method })
end

---The globals of one app: what Lua offers, nothing of other apps, nothing undeclared.
local function new_environment(require_function, loaded)
    local env = {}
    for name, value in pairs(_G) do
        env[name] = value
    end
    add_libraries(env, loaded)
    env._G = env
    env.require = require_function
    env.package = setmetatable({ loaded = loaded }, { __index = package })
    return setmetatable(env, { __index = undeclared("read"), __newindex = undeclared("written") })
end

local function candidates(app, module)
    local path = module:gsub("%.", "/")
    return {
        app .. "/" .. path .. ".lua", app .. "/" .. path .. "/init.lua",
        "_lib/" .. path .. ".lua", "_lib/" .. path .. "/init.lua",
        path .. ".lua", path .. "/init.lua",
    }
end

---An environment with `require` as one app sees it: its own folder, then _lib, then the apps directory, then the
---system.
---@param name string the app
---@param shown_dir string what stands before file names in messages
---@param source moonloop.environment.Source
---@return table env
function M.new(name, shown_dir, source)
    local loaded, env = setmetatable({}, { __index = package.loaded }), nil
    local function load_file(module)
        for _, file in ipairs(candidates(name, module)) do
            local bytes = source.file(name, file)
            if bytes then
                local chunk, reason = loadstring(bytes, "@" .. shown_dir .. "/" .. file)
                if not chunk then
                    error(reason, 0)
                end
                return setfenv(chunk, env)
            end
        end
    end
    local loading = {}
    local function app_require(module)
        local value = rawget(loaded, module)
        if value ~= nil then
            return value
        end
        local chunk = type(module) == "string" and not module:match("^moonloop%f[.%z]") and load_file(module)
        if not chunk then
            if not package.loaded[module] and package.searchpath then
                local path = package.searchpath(module, package.path)
                if path and not path:find("^/usr/") then
                    source.add_file(path)
                end
            end
            return require(module)
        end
        if loading[module] then
            error(("module %q is required in a ring"):format(module), 2)
        end
        loading[module] = true
        local ok
        ok, value = pcall(chunk, module)
        loading[module] = nil
        if not ok then
            error(value, 0)
        end
        if value == nil then
            value = rawget(loaded, module)
        end
        loaded[module] = value == nil and true or value
        return loaded[module]
    end
    env = new_environment(app_require, loaded)
    app_of[env] = name
    environments[name] = env
    return env
end

---Which app an environment belongs to.
---@param env table
---@return string? name nil when it is not one of ours
function M.app_of(env)
    return app_of[env]
end

---The environment that was made last for an app.
---@param name string
---@return table?
function M.find(name)
    return environments[name]
end

---All environments that are alive.
---@return fun(): string, table app and environment
function M.all()
    return pairs(environments)
end

return M
