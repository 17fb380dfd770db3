--- req:after: work that begins when the answer has left. Several run at once, each a task of its own that the end of
--- the request does not end.

local background = require("moonloop.background")
local core = require("moonloop.core.job")
local options_of = require("moonloop.background.options")
local request = require("moonloop.core.request")
local run = require("moonloop.background.run")

local M = {}

local OPTIONS = { timeout = "number", name = "string" }
local DEFAULTS = {}

---Options, function and arguments of req:after(fn, ...) or req:after(options, fn, ...).
local function settle(options, fn, ...)
    if type(options) == "function" then
        return DEFAULTS, options, fn, ...
    end
    if type(options) ~= "table" then
        error("req:after: expected a function, or options and a function, got a " .. type(options), 4)
    end
    options_of.check("req:after", options, OPTIONS, 4)
    options_of.check_function("req:after", fn, 4)
    if options.timeout then
        options_of.check_seconds("req:after: option timeout", options.timeout, 0, 4)
    end
    return options, fn, ...
end

local function put_off(token, options, fn, ...)
    local app = request.app(token)
    local label = options.name and "after " .. options.name or "after"
    local job = {
        app = app, label = label, name = label,
        fields = { request_id = request.id(token), route = request.route(token) },
    }
    core.after(token, app, background.limit_of(app), nil, label, job, run.ended,
        run.bounded(options.timeout, fn, ...))
end

---@param req moonloop.Request
---@param ... any
function M.add(req, ...)
    local token = rawget(req, 1)
    if token then
        put_off(token, settle(...))
        return
    end
    local list = rawget(req, "after_jobs") or {} -- on a thread: the loop starts them
    rawset(req, "after_jobs", list)
    list[#list + 1] = { n = select("#", settle(...)), settle(...) }
end

---What the handler of a thread has put off runs on a thread, too.
---@param token number
---@param list table[]
function M.add_all(token, list)
    local offload = require("moonloop.offload").offload
    for _, each in ipairs(list) do
        put_off(token, each[1], offload, unpack(each, 2, each.n))
    end
end

return M
