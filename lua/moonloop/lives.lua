--- What happens to the apps of a generation when it takes over and when it leaves: on_start, on_stop, background
--- work, and the state that goes from one to the next.

local errors = require("moonloop.util.errors")
local log = require("moonloop.log")
local serial = require("moonloop.util.serial")
local task = require("moonloop.task")

local M = {}

local BACKGROUND = "\0background" -- no app has that name

---moonloop.background, if an app has anything of it.
local function background()
    return package.loaded["moonloop.background"]
end

local function run_all(app, name, list, what)
    for _, fn in ipairs(app[list] or {}) do
        local ok, err = pcall(fn)
        if not ok then
            log.error(("%s of app %s failed: %s"):format(what, name, errors.message(err)),
                { traceback = type(err) == "table" and err.traceback or nil })
        end
    end
end

local function start_app(app, name)
    run_all(app, name, "starters", "on_start")
    app.is_live = true
    if background() then
        background().begin(app)
    end
end

---Each app on its own: one whose on_start waits holds up its own background work alone.
local function start(apps, names)
    local tasks = {}
    for number, app in ipairs(apps) do
        if app.is_loaded then
            tasks[#tasks + 1] = task.spawn(start_app, app, names[number])
        end
    end
    for _, each in ipairs(tasks) do
        each:wait()
    end
end

local function stop(apps, names)
    for number, app in ipairs(apps) do
        run_all(app, names[number], "stoppers", "on_stop")
    end
end

---WebSockets and event streams are told to go, if there are any.
local function drain(code, most)
    local streams = package.loaded["moonloop.streams"]
    if streams then
        streams.drain(code, most)
    end
end

local function save(apps, names)
    local saved = {}
    for number, app in ipairs(apps) do
        for name, state in pairs(app.states or {}) do
            local ok, bytes = pcall(serial.encode, state)
            if ok then
                saved[names[number] .. "\0" .. name] = bytes
            else
                log.error(("state %q of app %s does not survive the reload: %s"):format(name, names[number], bytes))
            end
        end
    end
    local jobs = background() and background().save() or {}
    saved[BACKGROUND] = next(jobs) and serial.encode(jobs) or nil
    return next(saved) and serial.encode(saved) or ""
end

local function restore(apps, names, bytes)
    local saved = serial.decode(bytes)
    for number, app in ipairs(apps) do
        for name, state in pairs(app.states or {}) do
            local before = saved[names[number] .. "\0" .. name]
            if before then
                for key in pairs(state) do
                    state[key] = nil
                end
                for key, value in pairs(serial.decode(before)) do
                    state[key] = value
                end
            end
        end
    end
    if saved[BACKGROUND] then
        require("moonloop.background").restore(serial.decode(saved[BACKGROUND]), names)
    end
end

---@param apps moonloop.App[] by number; an app that failed to load is an empty table
---@param names string[] their names
---@return { start: function, stop: function, save: fun(): string, restore: fun(bytes: string), quiesce: function,
---  leave: function, drain: fun(code: integer, most: number) }
function M.of(apps, names)
    local function tell_background(what)
        return function()
            if background() then
                background()[what]()
            end
        end
    end
    return {
        start = function() start(apps, names) end,
        stop = function() stop(apps, names) end,
        save = function() return save(apps, names) end,
        restore = function(bytes) restore(apps, names, bytes) end,
        quiesce = tell_background("quiesce"),
        leave = tell_background("leave"),
        drain = drain,
    }
end

return M
