--- Work that belongs to no request: app:background, app:every, app:cron. What a file declares while it is loaded
--- begins when its code takes over; by its name it goes on where the code before it stood. Loaded with the first of
--- them: apps that have none pay nothing.

local activity = require("moonloop.activity")
local core = require("moonloop.core.job")
local cron = require("moonloop.util.cron")
local errors = require("moonloop.util.errors")
local log = require("moonloop.log")
local options_of = require("moonloop.background.options")
local service = require("moonloop.background.service")
local timer = require("moonloop.background.timer")
local zones = require("moonloop.background.zones")

local M = {}

local limits = require("moonloop.app").limits

local DEFAULT_LIMIT = 1000 -- jobs of an app under way at once, in one worker
local DEFAULT_QUEUE = 100 -- ticks that wait for their turn

local live = {} -- by key, those of this VM that have begun
local saved = {} -- by key: where the generation before stood
local has_left = false
local script_apps = 0

-- On an offload thread apps are loaded for their handlers alone; in a script nobody loads them.
local is_thread = package.preload["moonloop.core.thread"] ~= nil
local is_script = not is_thread and package.preload["moonloop.core.generation"] == nil

---@param app string name
---@return integer jobs under way at once; 0: any number
function M.limit_of(app)
    return limits[app] or DEFAULT_LIMIT
end

local function key_of(app, kind, name)
    return kind .. "\1" .. app.name .. "\1" .. name
end

local function begin(app, entry)
    local key = key_of(app, entry.kind, entry.name)
    if has_left and (entry.kind ~= "background" or entry.is_declared) then
        entry:quiesce() -- by a request or an on_start that is still under way: it would never end
        return
    end
    live[key] = entry
    entry:begin({ name = app.name, limit = M.limit_of(app.name) }, key, saved[key])
    saved[key] = nil
end

-- ---- declaring ----

local function source_of(level)
    local info = debug.getinfo(level + 1, "Sl")
    return info and info.short_src .. ":" .. info.currentline or "?"
end

local ELSEWHERE = { __index = function(_, name)
    errors.raise("misuse", "the handle of a timer or a background task lives on the loop: .%s cannot be used on a "
        .. "thread", tostring(name))
end }

local function check_place(what, app)
    if is_thread and app.is_loaded then
        errors.raise("misuse", "%s cannot be called on a thread: call it while the file is loaded, in app:on_start or "
            .. "in a handler on the loop", what)
    end
end

---An app of a script has no name; it is live from the beginning.
local function name_script_app(app)
    if is_script and not app.name then
        script_apps = script_apps + 1
        app.name = script_apps == 1 and "script" or "script " .. script_apps
        app.is_live, app.is_loaded = true, true
        limits[app.name] = app.options.max_background
    end
end

local function taken(kind, name, first)
    return ("there is an app:%s named %q already, from %s: names are how a reload recognizes them"):format(kind, name,
        first.source)
end

---Adds what a file declares, or begins it at once when its code is live.
local function add(app, entry, level)
    if is_thread then
        return setmetatable({}, ELSEWHERE)
    end
    app.jobs = app.jobs or { list = {}, by_name = {} }
    local jobs, id = app.jobs, entry.kind .. " " .. entry.name
    if jobs.by_name[id] then
        error(taken(entry.kind, entry.name, jobs.by_name[id]), level + 1)
    end
    jobs.by_name[id] = entry
    jobs.list[#jobs.list + 1] = entry
    if app.is_live then
        begin(app, entry)
    end
    return entry
end

---"every 5s", "every 5s #2": a name for what was given none.
local function default_name(app, kind, name)
    local by_name = app.jobs and app.jobs.by_name or {}
    local unique, count = name, 1
    while by_name[kind .. " " .. unique] do
        count = count + 1
        unique = ("%s #%d"):format(name, count)
    end
    return unique
end

local TIMER_OPTIONS = {
    name = "string", jitter = "number|string", overlap = "string", queue = "number", once = "string",
    immediately = "boolean",
}
local CRON_OPTIONS = {
    name = "string", jitter = "number|string", overlap = "string", queue = "number", once = "string",
    zone = "string", timezone = "string",
}

local function check_timer(what, fn, options, known, level)
    options_of.check_function(what, fn, level + 1)
    options_of.check(what, options, known, level + 1)
    if options.name then
        options_of.check_name(what .. ": option name", options.name, level + 1)
    end
    options_of.check_one_of(what .. ": option overlap", options.overlap or "skip", { "skip", "queue", "allow" },
        level + 1)
    options_of.check_one_of(what .. ": option once", options.once or "server", { "server" }, level + 1)
    local queue = options.queue or DEFAULT_QUEUE
    if not (queue >= 1 and queue == math.floor(queue)) then
        error(("%s: option queue: expected a whole number of 1 or more, got %s"):format(what, queue), level + 1)
    end
end

local function new_timer(app, kind, default, fn, options, schedule, level)
    local name = options.name or default_name(app, kind, default)
    return timer.new({
        kind = kind, name = name, label = options.name and kind .. " " .. name or name, fn = fn,
        overlap = options.overlap or "skip", queue = options.queue or DEFAULT_QUEUE, schedule = schedule,
        once = options.once and require("moonloop.background.once").new() or nil,
        source = source_of(level + 1),
    })
end

---See App:every.
---@return moonloop.Timer
function M.every(app, seconds, fn, options, level)
    check_place("app:every", app)
    name_script_app(app)
    options = options or {}
    options_of.check_seconds("app:every", seconds, 0.001, level + 1)
    check_timer("app:every", fn, options, TIMER_OPTIONS, level + 1)
    local jitter = options_of.jitter("app:every", options.jitter, seconds, level + 1)
    local schedule = require("moonloop.background.interval").new(seconds, jitter, options.immediately or false)
    local entry = new_timer(app, "every", ("every %gs"):format(seconds), fn, options, schedule, level + 1)
    entry = add(app, entry, level + 1) -- no tail call: add counts this frame
    return entry
end

local function pcall_at(level, what, fn, ...)
    local ok, value = pcall(fn, ...)
    if not ok then
        error(("%s: %s"):format(what, errors.message(value)), level + 1)
    end
    return value
end

---See App:cron.
---@return moonloop.Timer
function M.cron(app, line, fn, options, level)
    check_place("app:cron", app)
    name_script_app(app)
    options = options or {}
    check_timer("app:cron", fn, options, CRON_OPTIONS, level + 1)
    local parsed = pcall_at(level + 1, ("app:cron(%s)"):format(type(line) == "string" and ("%q"):format(line) or ""),
        cron.parse, line)
    if options.zone and options.timezone then
        error("app:cron: the options zone and timezone mean the same: give one", level + 1)
    end
    local name = options.zone or options.timezone
    local its_zone = pcall_at(level + 1, "app:cron: option zone", name and zones.load or zones.machine, name)
    local jitter = options_of.jitter("app:cron", options.jitter, nil, level + 1)
    local schedule = require("moonloop.background.calendar").new(parsed, its_zone, jitter)
    local entry = new_timer(app, "cron", "cron " .. line, fn, options, schedule, level + 1)
    entry = add(app, entry, level + 1) -- no tail call: add counts this frame
    return entry
end

local BACKGROUND_OPTIONS = { name = "string", timeout = "number", once = "string" }

local function check_background(options, fn, level)
    if type(options) ~= "table" then
        options = { name = options }
    end
    options_of.check_name("app:background", options.name, level + 1)
    options_of.check("app:background", options, BACKGROUND_OPTIONS, level + 1)
    options_of.check_function("app:background", fn, level + 1)
    options_of.check_one_of("app:background: option once", options.once or "server", { "server" }, level + 1)
    if options.timeout then
        options_of.check_seconds("app:background: option timeout", options.timeout, 0, level + 1)
    end
    return options
end

---The one of that name that runs, here or in the generation before.
local function find_running(app, name)
    local key = key_of(app, "background", name)
    local entry = live[key]
    if entry and (entry.run or entry.starter) then
        return entry
    elseif core.count(key) > 0 then
        return service.of_before(name, app.name, key)
    end
end

---Not from the file: forgotten here as soon as it has ended.
local function begin_dynamic(app, entry)
    local key = key_of(app, "background", entry.name)
    function entry.on_gone()
        if live[key] == entry then
            live[key] = nil
        end
    end
    local ok, err = pcall(begin, app, entry)
    if not ok then
        live[key] = nil
        error(err, 0)
    end
    return entry, true
end

---See App:background.
---@return moonloop.Background handle
---@return boolean is_new
function M.background(app, name, fn, level, ...)
    check_place("app:background", app)
    name_script_app(app)
    local options = check_background(name, fn, level + 1)
    local running = app.is_loaded and find_running(app, options.name)
    if running then
        return running, false
    end
    local entry = service.new({
        name = options.name, fn = fn, args = { n = select("#", ...), ... }, timeout = options.timeout,
        is_declared = not core.is_asked(), source = source_of(level + 1),
        once = options.once and require("moonloop.background.once").new() or nil,
    })
    if app.is_loaded then
        return begin_dynamic(app, entry)
    end
    return add(app, entry, level + 1), true
end

-- ---- generations ----

---What nobody goes on with is forgotten; its lease is free again.
---@param is_gone fun(app: string): boolean
local function drop(is_gone)
    for key, state in pairs(saved) do
        if is_gone(key:match("\1([^\1]*)\1")) then
            saved[key] = nil
            if state.token then
                require("moonloop.background.once").drop(key, state.token)
            end
        end
    end
end

---The code of an app has taken over, and its on_start functions have run.
---@param app moonloop.App
function M.begin(app)
    if has_left then
        return
    end
    for _, entry in ipairs(app.jobs and app.jobs.list or {}) do
        local ok, err = pcall(begin, app, entry) -- say that the shared dictionary is full
        if not ok then
            log.error(("%s does not begin: %s"):format(entry.label, errors.message(err)), { app = app.name })
        end
    end
    drop(function(name) return name == app.name end)
end

---Where everything stands, for the next generation.
---@return table<string, table> by key
function M.save()
    local states = {}
    for key, entry in pairs(live) do
        if entry.kind ~= "background" or entry.is_declared then
            states[key] = entry:save()
        end
    end
    for key, state in pairs(saved) do -- of apps that have not begun yet
        states[key] = state
    end
    return states
end

---@param states table<string, table>
---@param names string[] of the apps there are
function M.restore(states, names)
    local is_there = {}
    for _, name in ipairs(names) do
        is_there[name] = true
    end
    saved = states
    drop(function(name) return not is_there[name] end)
end

---The worker is leaving: nothing begins any more by itself.
function M.quiesce()
    has_left = true
    for _, entry in pairs(live) do
        entry:quiesce()
    end
end

---This code is leaving: what it declared ends.
function M.leave()
    has_left = true
    for _, entry in pairs(live) do
        entry:leave()
    end
end

for _, kind in ipairs({ "background", "every", "cron" }) do
    activity.register(kind, function()
        local rows = {}
        for _, entry in pairs(live) do
            if entry.kind == kind then
                rows[#rows + 1] = entry:row()
            end
        end
        return rows
    end)
end

return M
