--- Checks what apps say of their background work. Whatever is wrong is the caller's bug: a string with a place.

local options_of = require("moonloop.options")

local M = {}

local SECONDS_MAX = 86400 * 366

---@param what string "app:every"
---@param options any
---@param known table<string, string> see moonloop.options
---@param level integer of the caller to blame
function M.check(what, options, known, level)
    if type(options) ~= "table" then
        error(("%s: expected a table of options, got a %s"):format(what, type(options)), level + 1)
    end
    options_of.check(what, options, known, level + 1)
end

---@param what string
---@param value any
---@param values string[]
---@param level integer
function M.check_one_of(what, value, values, level)
    for _, each in ipairs(values) do
        if value == each then
            return
        end
    end
    error(("%s: expected %s, got %q"):format(what, table.concat(values, ", "), tostring(value)), level + 1)
end

---@param what string
---@param seconds any
---@param least number
---@param level integer
function M.check_seconds(what, seconds, least, level)
    if type(seconds) ~= "number" or not (seconds >= least and seconds <= SECONDS_MAX) then
        error(("%s: expected %g to %d seconds, got %s"):format(what, least, SECONDS_MAX,
            type(seconds) == "number" and tostring(seconds) or "a " .. type(seconds)), level + 1)
    end
end

---@param what string
---@param fn any
---@param level integer
function M.check_function(what, fn, level)
    if type(fn) ~= "function" then
        error(("%s: expected a function, got a %s"):format(what, type(fn)), level + 1)
    end
end

---@param what string
---@param name any
---@param level integer
function M.check_name(what, name, level)
    if type(name) ~= "string" or name == "" or #name > 200 or name:find("%c") then
        error(("%s: expected a name of 1 to 200 characters on one line, got %s"):format(what,
            type(name) == "string" and ("%q"):format(name) or "a " .. type(name)), level + 1)
    end
end

---Seconds of `jitter`: a number of seconds, or a part of the interval like "10%".
---@param what string
---@param jitter number|string|nil
---@param interval? number seconds
---@param level integer
---@return number seconds
function M.jitter(what, jitter, interval, level)
    local seconds = jitter or 0
    if type(jitter) == "string" then
        local percent = tonumber((jitter:match("^(%d+%.?%d*)%%$")))
        if not percent or not interval then
            error(("%s: option jitter: expected seconds%s, got %q"):format(what,
                interval and " or a part of the interval like \"10%\"" or "", jitter), level + 1)
        end
        seconds = interval * percent / 100
    end
    if not (seconds >= 0) or (interval and seconds > interval) then
        error(("%s: option jitter: expected 0 to %g seconds, got %s"):format(what, interval or SECONDS_MAX,
            tostring(jitter)), level + 1)
    end
    return seconds
end

return M
