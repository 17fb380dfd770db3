--- What happens to the apps of a generation when it takes over and when it leaves: on_start, on_stop, and the
--- state that goes from one to the next.

local buffer = require("string.buffer")
local errors = require("moonloop.util.errors")
local log = require("moonloop.log")

local M = {}

local function run_all(apps, names, list, what)
    for number, app in ipairs(apps) do
        for _, fn in ipairs(app[list] or {}) do
            local ok, err = pcall(fn)
            if not ok then
                log.error(("%s of app %s failed: %s"):format(what, names[number], errors.message(err)),
                    { traceback = type(err) == "table" and err.traceback or nil })
            end
        end
    end
end

local function save(apps, names)
    local saved = {}
    for number, app in ipairs(apps) do
        for name, state in pairs(app.states or {}) do
            local ok, bytes = pcall(buffer.encode, state)
            if ok then
                saved[names[number] .. "\0" .. name] = bytes
            else
                log.error(("state %q of app %s does not survive the reload: %s"):format(name, names[number], bytes))
            end
        end
    end
    return next(saved) and buffer.encode(saved) or ""
end

local function restore(apps, names, bytes)
    local saved = buffer.decode(bytes)
    for number, app in ipairs(apps) do
        for name, state in pairs(app.states or {}) do
            local before = saved[names[number] .. "\0" .. name]
            if before then
                for key in pairs(state) do
                    state[key] = nil
                end
                for key, value in pairs(buffer.decode(before)) do
                    state[key] = value
                end
            end
        end
    end
end

---@param apps moonloop.App[] by number; an app that failed to load is an empty table
---@param names string[] their names
---@return { start: function, stop: function, save: fun(): string, restore: fun(bytes: string) }
function M.of(apps, names)
    return {
        start = function() run_all(apps, names, "starters", "on_start") end,
        stop = function() run_all(apps, names, "stoppers", "on_stop") end,
        save = function() return save(apps, names) end,
        restore = function(bytes) restore(apps, names, bytes) end,
    }
end

return M
