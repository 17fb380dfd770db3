--- Loads the apps of one generation: each in an environment of its own, from the bytes of the snapshot, and
--- tells the server their routes. An app that fails is reported and answers 500; the others are not touched.

local core = require("moonloop.core.generation")
local app_module = require("moonloop.app")
local environment = require("moonloop.environment")
local errors = require("moonloop.util.errors")

local M = {}

---The apps of a list of files: name -> file, for "hello.lua" and "hello/init.lua".
---@param files string[]
---@return string[] names sorted
---@return table<string, string> file_of
---@return table<string, string> rivals the second file of an app that has two
function M.find_apps(files)
    local names, file_of, rivals = {}, {}, {}
    for _, file in ipairs(files) do
        local name = file:match("^([^/._][^/.]*)%.lua$") or file:match("^([^/._][^/]*)/init%.lua$")
        if name and file_of[name] then
            rivals[name] = file
        elseif name then
            names[#names + 1] = name
            file_of[name] = file
        end
    end
    table.sort(names)
    return names, file_of, rivals
end

---How many arguments a handler takes: 0, 1 (req) or 2 (req, res).
local function wanted(handler)
    if type(handler) ~= "function" then
        return 2
    end
    local info = debug.getinfo(handler, "u")
    if not info.nparams or info.isvararg then
        return 2
    end
    return math.min(info.nparams, 2)
end

local function run_file(name, file, shown_dir, rival)
    if rival then
        error(("%s/%s and %s/%s would both be the app %s: remove or rename one"):format(shown_dir, file, shown_dir,
            rival, name), 0)
    end
    local chunk, reason = loadstring(core.file(name, file), "@" .. shown_dir .. "/" .. file)
    if not chunk then
        error(reason, 0)
    end
    local app = setfenv(chunk, environment.new(name, shown_dir, core))()
    if getmetatable(app) ~= app_module.App then
        error(("%s/%s: the file has to end with `return app`, but returned %s"):format(shown_dir, file,
            app == nil and "nothing" or "a " .. type(app)), 0)
    end
    app.name, app.file, app.is_loaded = name, file, true
    app_module.limits[name] = app.options.max_background
    return app
end

---The frames of an app's own files: those of this loader below them say nothing to a reader.
local function own_frames(text)
    local kept = {}
    for line in text:gmatch("[^\n]+") do
        if line:find("/moonloop/loader.lua", 1, true) or line:find("in function 'guarded'", 1, true) then
            break
        end
        kept[#kept + 1] = line
    end
    while #kept > 1 and (kept[#kept]:match("^%s*%[C%]: in function 'error'$") or kept[#kept] == "stack traceback:") do
        kept[#kept] = nil
    end
    return table.concat(kept, "\n")
end

local function describe(err)
    if errors.is(err) then
        return own_frames(err.message .. "\n" .. tostring(err.traceback))
    elseif type(err) ~= "string" then
        return errors.message(err)
    end
    return own_frames(err)
end

---Calls a part of an app; one that does not end is interrupted, one that raises gives false and why.
local function guarded(fn, ...)
    local ok, value = core.guarded(fn, ...)
    if ok then
        return true, value
    end
    return false, describe(value)
end

local function mount_of(name, app)
    if app.options.mount then
        return (app.options.mount:gsub("/+$", ""))
    end
    return name == "index" and "" or "/" .. name
end

---A handler that runs where the route or the app says. `index`: of the route in its app.
local function placed(app, index, handler, run)
    if run == "thread" or run == "process" then
        return require("moonloop.thread_route").handler(app, index, run)
    end
    return handler
end

---What the server gets to know of a route.
local function route_of(number, app, mount, index)
    local route = app.routes[index]
    local handler = app_module.compose(route.owner, route.handler)
    handler = placed(app, index, handler, route.options.run or app.options.run)
    return {
        app = number, method = route.method, pattern = mount .. route.pattern, source = route.source,
        wants = wanted(handler), host = app.options.host, timeout = route.options.timeout,
        max_body = route.options.max_body, limit = route.options.limit, handler = handler,
    }
end

---What two routes that cannot both be have in common: the names of parameters do not count.
local function shape_of(app, mount, route)
    local pattern = (mount .. route.pattern):gsub("{[%w_]*", "{")
    return ("%s %s %s"):format((app.options.host or ""):lower(), route.method, pattern)
end

---@param sources table<string, string> where the routes of all apps so far are, by shape
local function add_routes(number, app, mount, sources)
    for index, route in ipairs(app.routes) do
        local shape = shape_of(app, mount, route)
        local ok, why = core.add_route(route_of(number, app, mount, index))
        if not ok then
            local first = sources[shape] and ", at " .. sources[shape] or ""
            error(("%s: %s %s: %s%s"):format(route.source, route.method, mount .. route.pattern, why, first), 0)
        end
        sources[shape] = route.source
    end
    if app.missing_handler then
        core.add_route({
            app = number, method = "*", pattern = mount .. "/...", source = app.missing_source,
            wants = 2, not_found = true, host = app.options.host,
            handler = placed(app, 0, app_module.compose_missing(app), app.options.run),
        })
    end
end

---A failed app answers every path under its mount with what is wrong.
local function fail(number, mount, message, is_dev)
    local function handler()
        return is_dev and message .. "\n" or "this app could not be loaded; see the server's log\n", 500
    end
    core.fail_app(number, message, handler)
    for _, pattern in ipairs({ mount .. "/", mount .. "/{rest...}" }) do
        core.add_route({ -- one that exists already answers the same
            app = number, method = "*", pattern = pattern, source = "?", wants = 0, handler = handler,
        })
    end
end

---@param apps_dir string absolute
---@param is_dev boolean
---@return { request: table, response: table, failure: function }
return function(apps_dir, is_dev)
    local shown_dir = apps_dir:match("[^/]+$") or apps_dir
    local names, file_of, rivals = M.find_apps(core.files())
    local apps, failed, sources = {}, {}, {}
    for _, name in ipairs(names) do
        local ok, app = guarded(run_file, name, file_of[name], shown_dir, rivals[name])
        local mount = mount_of(name, ok and app or { options = {} })
        local number = core.add_app(name, mount)
        local failure = not ok and app
        if ok then
            ok, failure = guarded(add_routes, number, app, mount, sources)
        end
        apps[number] = ok and app or {}
        if not ok then
            failed[#failed + 1] = { number, mount, tostring(failure) }
        end
    end
    for _, each in ipairs(failed) do
        fail(each[1], each[2], each[3], is_dev)
    end
    return {
        request = require("moonloop.request"),
        response = require("moonloop.response"),
        failure = require("moonloop.failures").handler(apps, is_dev),
        lives = require("moonloop.lives").of(apps, names),
    }
end
