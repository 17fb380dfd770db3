--- One run of something that belongs to no request: a task of its own, whose end is heard of whatever ends it, and
--- whose failure is in the log.

local core = require("moonloop.core.job")
local errors = require("moonloop.util.errors")
local log = require("moonloop.log")
local task = require("moonloop.task")

local M = {}

---@class moonloop.background.Run what the core fills in when it has ended: state, err
---@field app string
---@field label string "every 5s", for the log
---@field is_helper? boolean
---@field fields? table<string, any> more fields for the log
---@field on_end? fun(state: "done"|"failed"|"cancelled", err: any) called outside of any task

local function log_fields(run, err)
    local fields = { app = run.app, job = run.label }
    for name, value in pairs(run.fields or {}) do
        fields[name] = value
    end
    fields.traceback = errors.trace(err)
    return fields
end

local function report(run, state, err)
    if state == "failed" then
        if not (type(err) == "table" and rawget(err, "is_logged")) then
            log.error(("%s failed: %s"):format(run.label, errors.message(err)), log_fields(run, err))
        end
    elseif state == "cancelled" and not run.is_helper and not (type(err) == "table" and rawget(err, "is_expected")) then
        log.warn(("%s was cut off: %s"):format(run.label, errors.message(err)), {
            app = run.app, job = run.label, request_id = run.fields and run.fields.request_id,
            route = run.fields and run.fields.route,
        })
    end
end

---What the core calls at the end of a run.
---@param run moonloop.background.Run
---@param state "done"|"failed"|"cancelled"
---@param err any
function M.ended(run, state, err)
    report(run, state, err)
    if run.on_end then
        run.on_end(state, err)
    end
end

---The function to run and its arguments, bounded by a deadline when there is one.
---@param timeout? number seconds
---@param fn function
---@param ... any
---@return function
---@return any ...
function M.bounded(timeout, fn, ...)
    if timeout then
        return task.timeout, timeout, fn, ...
    end
    return fn, ...
end

---Starts `fn(...)`. Raises `full` when the app has `limit` jobs under way already.
---@param run moonloop.background.Run
---@param limit integer 0: none
---@param key? string under which others find it
---@param fn function
---@param ... any
---@return moonloop.background.Run run
function M.start(run, limit, key, fn, ...)
    run.name = run.label
    core.start(run.app, limit, key, run.label, run, M.ended, fn, ...)
    return run
end

---What can be handed to another VM of any error.
---@param err any
---@return { code: string, message: string, traceback?: string }?
function M.plain(err)
    if err == nil then
        return nil
    end
    local is_object = errors.is(err)
    return {
        code = is_object and tostring(err.code) or "error", message = errors.message(err),
        traceback = is_object and tostring(err.traceback) or nil,
    }
end

---The error object again.
---@param plain? { code: string, message: string, traceback?: string }
---@return moonloop.Error?
function M.restored(plain)
    return plain and errors.new(plain.code, plain.message, { traceback = plain.traceback or "" })
end

---Starts a part of the machinery, which is not among the jobs of the app.
---@param app string
---@param label string whose part it is
---@param on_end? fun(state: string, err: any)
---@param fn function
---@param ... any
---@return moonloop.background.Run run
function M.help(app, label, on_end, fn, ...)
    return M.start({ app = app, label = label, on_end = on_end, is_helper = true }, -1, nil, fn, ...)
end

---Asks it to end: no line in the log.
---@param run moonloop.background.Run
---@param reason string
function M.cancel(run, reason)
    require("moonloop.core.task").cancel(run, errors.new("cancelled", reason, { is_expected = true }))
end

return M
