--- Error objects: what moonloop raises when the world fails (a limit, a deadline, the network).
--- A caller's bug is raised as a plain string instead, with error(message, 2).

---@class moonloop.Error
---@field code string stable, for programs: "timeout", "cancelled", "closed", "refused", "full", ...
---@field message string for people
---@field traceback string where it was made
---@field is_traced? boolean the traceback is the one of the raise, across spawn sites
---@field is_logged? boolean whoever raised it has logged it
---@field cause? any what led to it: the failure for which a task was cancelled
---@field reason? moonloop.Error of a wait that was cut short: the error that all waits of the scope share
---@field where? string of a wait that was cut short: "apps/a.lua:12 in sleep"
---@field cancelled_at? string who cancelled it, or set the deadline that struck: "apps/a.lua:7"
local Error = {}
Error.__index = Error
Error.__name = "moonloop.Error"

local function place(label, site)
    return site and ("%s %s"):format(label, site)
end

function Error:__tostring()
    local waiting = place("waiting at", self.where)
    local cancelled = place(self.code == "cancelled" and "cancelled at" or "set at", self.cancelled_at)
    if not waiting and not cancelled then
        return self.message
    end
    local both = waiting and cancelled and "; " or ""
    return ("%s (%s%s%s)"):format(self.message, waiting or "", both, cancelled or "")
end

local M = {}

M.Error = Error

---Makes an error object without raising it.
---@param code string
---@param message string
---@param fields? table copied into the object
---@return moonloop.Error
function M.new(code, message, fields)
    local err = setmetatable({ code = code, message = message }, Error)
    for name, value in pairs(fields or {}) do
        err[name] = value
    end
    err.traceback = err.traceback or debug.traceback("", 2):gsub("^\n", "")
    return err
end

---Raises an error object. `format` is taken as it is when nothing follows.
---@param code string
---@param format string
---@param ... any for string.format
function M.raise(code, format, ...)
    local message = select("#", ...) > 0 and format:format(...) or format
    error(M.new(code, message), 0)
end

---Whether `err` is an error object (with this code, when one is given).
---@param err any
---@param code? string
---@return boolean
function M.is(err, code)
    return type(err) == "table" and getmetatable(err) == Error and (code == nil or err.code == code)
end

---For whoever makes something else of a failure: that there was no memory is nobody's mistake, and is raised on.
---@param err any
function M.pass_out_of_memory(err)
    if err == "not enough memory" then -- LuaJIT's own words, without a place
        error(err, 0)
    end
end

---What a person should read about anything that was raised: never "table: 0x...", never raises.
---@param err any
---@return string
function M.message(err)
    if type(err) == "string" then
        return err
    elseif type(err) == "number" then
        return tostring(err)
    end
    local meta = type(err) == "table" and getmetatable(err)
    local message = type(err) == "table" and (rawget(err, "message") or rawget(err, "code"))
    if type(message) == "string" and not (type(meta) == "table" and rawget(meta, "__tostring")) then
        return message
    end
    if type(meta) == "table" and rawget(meta, "__tostring") then
        local ok, text = pcall(tostring, err)
        if ok then
            return text
        end
    end
    return "an error value of type " .. type(err)
end

local BESIDE_SHOWN = 5

---For a log: the traceback of what was raised and, below it, what failed beside it: the `others` of a scope, the
---`errors` of `any`.
---@param err any
---@return string? text nil when there is nothing to say
function M.trace(err)
    if type(err) ~= "table" then
        return nil
    end
    local traceback = rawget(err, "traceback")
    local lines = { type(traceback) == "string" and traceback or "" }
    for _, field in ipairs({ "others", "errors" }) do
        local list = M.is(err) and rawget(err, field)
        for i, each in ipairs(type(list) == "table" and list or {}) do
            if i > BESIDE_SHOWN then
                lines[#lines + 1] = ("and %d more failed"):format(#list - BESIDE_SHOWN)
                break
            end
            lines[#lines + 1] = (field == "others" and "failed, too: " or "one of them: ") .. M.message(each)
        end
    end
    local text = table.concat(lines, "\n")
    return text:find("\n", 1, true) and text or nil
end

local function has_frames(traceback)
    return type(traceback) == "string" and traceback:find("\n\t", 1, true) ~= nil
end

---An error value with the traceback of the code that it ended. Called by the scheduler and by scopes. The
---first traceback stays: later ones would show where it was raised again.
---@param err any
---@param traceback string
---@param sites? string where its task was spawned, and the tasks above; once per error
---@return any err an error object for a string or nil; other values as they are
function M.wrap(err, traceback, sites)
    if type(err) == "string" or err == nil then
        err = setmetatable({ code = "error", message = err or "error(nil)", traceback = traceback,
            is_traced = true }, Error)
    elseif not M.is(err) then
        return err
    elseif not err.is_traced then
        if not has_frames(err.traceback) then
            err.traceback = traceback
        end
        err.is_traced = true
    end
    if sites and sites ~= "" and not err.is_placed then
        err.traceback = tostring(err.traceback) .. sites
        err.is_placed = true
    end
    return err
end

---What a wait raises that was cut short, or that a cancelled scope refused to begin: one object for each, because
---each has its own place. Called by the scheduler.
---@param reason any what the scope was cancelled with
---@param where? string
---@return any err `reason` itself when it is no error object
function M.interrupted(reason, where)
    if not M.is(reason) then
        return reason
    end
    local err = {}
    for name, value in pairs(reason) do
        err[name] = value
    end
    err.reason, err.where = reason, where
    err.traceback, err.is_traced, err.is_placed = where and "waiting at " .. where or "", nil, nil
    return setmetatable(err, Error)
end

---What functions of C that wait return: `true, ...` gives the rest, `false, err` raises err as it is.
---@param ok boolean
---@param ... any
---@return any ...
function M.settle(ok, ...)
    if ok then
        return ...
    end
    error((...), 0)
end

local function value_or_nil(ok, ...)
    if ok then
        return ...
    end
    return nil, (...)
end

---Runs in the frame that raised.
local function with_traceback(err)
    return M.wrap(err, (debug.traceback("", 2):gsub("^\n", "")))
end

---For xpcall: what was raised, as an error object with its traceback where it can be one.
---@param err any
---@return any
M.traced = with_traceback

---Calls `fn`; a raise becomes `nil, err`, otherwise what `fn` gives comes back. What was raised as a string
---comes as an error object, so that `err.message` and `err.code` are always there. A cancelled scope goes on
---unwinding all the same: every later wait in it raises again.
---@param fn function
---@param ... any
---@return any ... what `fn` gives, or nil and what it raised
function M.try(fn, ...)
    return value_or_nil(xpcall(fn, with_traceback, ...))
end

return M
