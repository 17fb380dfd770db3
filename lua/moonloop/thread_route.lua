--- Handlers with `run = "thread"` or `run = "process"`: both ends. On the loop: the request is copied, its body
--- read before. In the other VM, on a thread or in a process: the app is loaded from the bytes of the same
--- generation, once for each VM; the handler with its middleware gets a req and a res with the same methods; what
--- it answers is copied back.

local app_module = require("moonloop.app")

local M = {}

-- ---- on the loop ----

local FIELDS = {
    "method", "path", "target", "query", "params", "cookies", "host", "scheme", "remote_addr", "id", "app",
    "route", "deadline", "tls", "client_certificate",
}

---What is known of a request, as plain values; the body if it was read.
---@param req moonloop.Request
---@return table
function M.copy_of(req)
    local core = require("moonloop.core.request")
    local copy = { whole_body = rawget(req, "whole_body") }
    for _, name in ipairs(FIELDS) do
        copy[name] = req[name]
    end
    local token = rawget(req, 1)
    if token then
        copy.headers, copy.raw_query = core.headers(token), core.raw_query(token)
    else -- of a copy
        copy.headers, copy.raw_query = {}, rawget(req, "raw_query")
        for name, value in pairs(req.headers) do
            copy.headers[name] = value
        end
    end
    return copy
end

---A handler for the loop that has route `index` of the app (0: its not_found handler) run elsewhere.
---@param app moonloop.App
---@param index integer
---@param run "thread"|"process"
---@return function
function M.handler(app, index, run)
    local offload = require("moonloop.offload")
    local route = app.routes[index]
    local spec = {
        app = app.name, file = app.file, index = index,
        method = route and route.method, pattern = route and route.pattern,
        label = route and route.source or app.missing_source,
    }
    -- Now, so that the pool goes on when the generation before this one ends.
    local pool = run == "process" and offload.processes() or offload.default()
    return function(req, res)
        req:body()
        local reply = offload.run_route(spec, M.copy_of(req), pool)
        rawset(res, "status", reply.status)
        rawset(res, "headers", reply.headers)
        rawset(res, "body", reply.body)
        if reply.after then
            require("moonloop.background.after").add_all(req[1], reply.after)
        end
        return unpack(reply, 1, reply.n)
    end
end

-- ---- on the thread ----

local apps = {} -- by name, as long as the VM

local function load_app(spec, env_of)
    local core = require("moonloop.core.thread")
    local shown_dir = core.apps_dir():match("[^/]+$")
    local chunk = assert(loadstring(core.file(spec.app, spec.file), "@" .. shown_dir .. "/" .. spec.file))
    local app = setfenv(chunk, env_of(spec.app))()
    app.is_loaded = true
    apps[spec.app] = { app = app, handlers = {} }
    return apps[spec.app]
end

local function load_handler(loaded, spec)
    local app = loaded.app
    local handler
    if spec.index == 0 then
        handler = app_module.compose_missing(app)
    else
        local route = app.routes[spec.index]
        if not route or route.method ~= spec.method or route.pattern ~= spec.pattern then
            error(("%s: %s %s is not among the routes when a thread loads the app: registration must not depend on "
                .. "time or chance"):format(spec.file, spec.method, spec.pattern), 0)
        end
        handler = app_module.compose(route.owner, route.handler)
    end
    loaded.handlers[spec.index] = handler
    return handler
end

---@param copy table what copy_of gave
---@return moonloop.Request
function M.request_of(copy)
    local request = require("moonloop.request")
    copy.context = copy.context or {}
    setmetatable(copy.headers, request.any_case)
    return setmetatable(copy, request)
end

local function has_type(headers)
    for name in pairs(type(headers) == "table" and headers or {}) do
        if type(name) == "string" and name:lower() == "content-type" then
            return true
        end
    end
    return false
end

---What goes back. A table becomes JSON here, off the loop.
local function reply_of(req, res, ...)
    local reply = { n = select("#", ...), ... }
    reply.after = rawget(req, "after_jobs")
    reply.status, reply.headers, reply.body = rawget(res, "status"), rawget(res, "headers"), rawget(res, "body")
    if type(reply[1]) == "table" then
        reply[1] = require("moonloop.json").encode(reply[1])
        if not has_type(reply[3]) and not has_type(reply.headers) then
            reply.headers = reply.headers or {}
            reply.headers["Content-Type"] = "application/json"
        end
    end
    return reply
end

---@param env_of fun(app: string): table
---@param spec table
---@param copy table
---@return table reply
function M.run(env_of, spec, copy)
    local loaded = apps[spec.app] or load_app(spec, env_of)
    local handler = loaded.handlers[spec.index] or load_handler(loaded, spec)
    local res = setmetatable({}, require("moonloop.response"))
    local req = M.request_of(copy)
    return reply_of(req, res, handler(req, res))
end

return M
