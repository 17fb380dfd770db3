--- The surroundings of one app: its globals, its own view of `package.loaded`, its `require`. The same on the
--- loop's thread and on an offload thread; only where the bytes of files come from differs.

---@class moonloop.environment.Source
---@field file fun(app: string, name: string): string? the bytes of a file as this app sees it
---@field add_file fun(path: string) a file outside the apps directory was required

local core = require("moonloop.core.task")

local M = {}

-- Both weak: an environment lives as long as functions of its app.
local app_of = setmetatable({}, { __mode = "k" })
local environments = setmetatable({}, { __mode = "v" })

local function undeclared(verb)
    return function(_, name)
        local advice = verb == "written" and "put `local` before its first use"
            or name == "moonloop" and 'begin the file with local moonloop = require("moonloop")'
            or "it is misspelled, or `local` is missing where it begins"
        error(("undeclared global %q is %s; %s"):format(tostring(name), verb, advice), 2)
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

---What the apps directory does not have. A reader who misspelled a name needs our directories, not ten of Lua's.
local function require_system(module, shown_dir, app)
    local ok, value = pcall(require, module)
    if ok then
        return value
    elseif type(value) == "string" and value:find(("module '%s' not found:"):format(module), 1, true) == 1 then
        error(("module %q is neither in %s/%s, %s/_lib or %s nor installed"):format(module, shown_dir, app,
            shown_dir, shown_dir), 2) -- called as a tail call: the level above is the app's
    end
    error(value, 0)
end

local function pass() end

---What a module is loaded behind, when a task asks for it; nil while files are loaded outside of any task.
local function new_gate(module)
    if core.is_task() then
        return require("moonloop.sync.mutex").mutex({ name = "module " .. module })
    end
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

    ---Runs a file of the app. Its main chunk may wait when a task asks for it: other tasks that require it
    ---meanwhile wait for that.
    local function run_once(module, chunk)
        local is_ok, value
        loading[module] = new_gate(module)
        if loading[module] then
            is_ok, value = pcall(loading[module].with, loading[module], chunk, module)
        else
            loading[module] = true
            is_ok, value = pcall(chunk, module)
        end
        loading[module] = nil
        if not is_ok then
            error(value, 0)
        end
        if value == nil then
            value = rawget(loaded, module)
        end
        loaded[module] = value == nil and true or value
        return loaded[module]
    end

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
            return require_system(module, shown_dir, name)
        end
        local gate = loading[module]
        if not gate then
            return run_once(module, chunk)
        end
        local is_free, err = false, nil
        if gate ~= true then
            is_free, err = pcall(gate.with, gate, pass)
        end
        if is_free then
            return app_require(module) -- loaded; or our turn to try, when it failed
        elseif err and err.code ~= "deadlock" then
            error(err, 0)
        end
        error(("module %q is required in a ring"):format(module), 2)
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
