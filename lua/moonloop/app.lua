--- What `moonloop.app()` gives: a collector of routes, middleware and handlers. Nothing runs here; the
--- loader hands what was collected to the server once the file has been loaded.

---@class moonloop.App
---@field routes table[] in order of registration
---@field middleware function[]
local App = { __name = "moonloop.App", __transfer = false }
App.__index = App

function App.__tostring(app)
    return app.name and "app " .. app.name or "app"
end

local M = {
    App = App,
    limits = {}, -- by name of the app: its option max_background
}

local ROUTE_OPTIONS = { timeout = "number", max_body = "number", limit = "number", run = "string" }
local RUNS = { loop = true, thread = true, process = true }
local APP_OPTIONS = { mount = "string", host = "string", run = "string", max_background = "number" }

---"apps/hello.lua:12" of the code that called a method of the app.
local function caller(level)
    local info = debug.getinfo(level + 1, "Sl")
    return info.short_src .. ":" .. info.currentline
end

local function check_options(options, known, what, level)
    for name, value in pairs(options) do
        local expected = known[name]
        if not expected then
            error(require("moonloop.options").unknown(what, name, known), level + 1)
        elseif type(value) ~= expected then
            error(("option %s of %s: expected a %s, got a %s"):format(name, what, expected, type(value)),
                level + 1)
        elseif expected == "number" and not (value >= 0) then
            error(("option %s of %s: expected 0 or more, got %s"):format(name, what, value), level + 1)
        end
    end
    if options.run and not RUNS[options.run] then
        error(("option run of %s: expected loop, thread or process, got %q"):format(what, options.run),
            level + 1)
    end
end

---@param options? { mount?: string, host?: string, run?: "loop"|"thread"|"process", max_background?: integer }
---@return moonloop.App
function M.new(options)
    options = options or {}
    if type(options) ~= "table" then
        error("moonloop.app: expected a table of options, got a " .. type(options)
            .. "; the name of an app is that of its file", 2)
    end
    check_options(options, APP_OPTIONS, "moonloop.app", 2)
    if options.mount and not options.mount:match("^/") then
        error(("option mount of moonloop.app: expected a path like \"/shop\", got %q"):format(options.mount),
            2)
    end
    return setmetatable({
        options = options, routes = {}, middleware = {}, prefix = "", states = {},
        starters = {}, stoppers = {},
    }, App)
end

local function add(app, method, pattern, options, handler)
    if handler == nil then
        options, handler = {}, options
    end
    if type(pattern) ~= "string" or pattern:sub(1, 1) ~= "/" then
        error(("expected a pattern that begins with \"/\", got %s"):format(
            type(pattern) == "string" and ("%q"):format(pattern) or type(pattern)), 3)
    end
    if type(options) == "function" then
        error(("%s %s: the options come before the handler"):format(method, pattern), 3)
    elseif type(options) ~= "table" then
        error(("expected options and a handler, or a handler, got a %s"):format(type(options)), 3)
    end
    check_options(options, ROUTE_OPTIONS, method .. " " .. pattern, 3)
    local meta = getmetatable(handler)
    if type(handler) ~= "function" and not (type(meta) == "table" and meta.__call) then
        error(("%s %s: expected a handler function, got a %s"):format(method, pattern, type(handler)), 3)
    end
    local routes = app.root and app.root.routes or app.routes
    routes[#routes + 1] = {
        method = method, pattern = app.prefix .. pattern, options = options, handler = handler,
        owner = app, source = caller(3),
    }
end

for name, method in pairs({
    get = "GET", post = "POST", put = "PUT", patch = "PATCH", delete = "DELETE", head = "HEAD",
    options = "OPTIONS", any = "*",
}) do
    App[name] = function(self, pattern, options, handler)
        if getmetatable(self) ~= App then
            error(("call it with a colon: app:%s(pattern, handler)"):format(name), 2)
        end
        add(self, method, pattern, options, handler) -- no tail call: add counts this frame
        return self
    end
end

local function check_function(fn, what)
    if type(fn) ~= "function" then
        error(("%s: expected a function, got a %s"):format(what, type(fn)), 3)
    end
end

function App.static()
    error("app:static is not there yet; CHANGELOG.md tells what is", 2)
end

-- app:ws and app:sse: routes for GET whose handlers are wrapped. docs/websocket.md and docs/sse.md have all of it.
for name, module in pairs({ ws = "moonloop.websocket.route", sse = "moonloop.event_stream" }) do
    App[name] = function(self, pattern, options, handler)
        if getmetatable(self) ~= App then
            error(("call it with a colon: app:%s(pattern, handler)"):format(name), 2)
        elseif handler == nil then
            options, handler = {}, options
        end
        if type(options) ~= "table" or type(handler) ~= "function" then
            error(("app:%s: expected a pattern, options if there are any, and a handler function"):format(name), 2)
        end
        local route, wrapped = require(module).of(options, handler, 3)
        add(self, "GET", pattern, route, wrapped)
        return self
    end
end

---Adds a function around every handler of the app (or group), the first one outermost.
---@param fn fun(req: moonloop.Request, res: moonloop.Response, next: function): any
function App:use(fn)
    check_function(fn, "use")
    self.middleware[#self.middleware + 1] = fn
    return self
end

---Routes with a common prefix and middleware of their own.
---@param prefix string
---@param fn fun(group: moonloop.App)
function App:group(prefix, fn)
    check_function(fn, "group")
    if type(prefix) ~= "string" or not prefix:match("^/.*[^/]$") then
        error("group: expected a prefix like \"/admin\"", 2)
    end
    fn(setmetatable({
        root = self.root or self, parent = self, prefix = self.prefix .. prefix, middleware = {},
    }, App))
    return self
end

---Answers for a handler that raised: `fn(err, req, res)` returns like a handler.
function App:on_error(fn)
    check_function(fn, "on_error")
    local app = self.root or self
    app.error_handler = fn
    return self
end

---Answers for paths under the app's mount that no route covers.
function App:not_found(fn)
    check_function(fn, "not_found")
    local app = self.root or self
    app.missing_handler = fn
    app.missing_source = caller(2)
    return self
end

---Runs once per worker when this generation takes over.
function App:on_start(fn)
    check_function(fn, "on_start")
    local list = (self.root or self).starters
    list[#list + 1] = fn
    return self
end

---Runs once per worker when this generation has answered its last request.
function App:on_stop(fn)
    check_function(fn, "on_stop")
    local list = (self.root or self).stoppers
    list[#list + 1] = fn
    return self
end

local function root_of(self, name)
    if getmetatable(self) ~= App then
        error(("call it with a colon: app:%s(...)"):format(name), 3)
    end
    return self.root or self
end

---Runs `fn` again and again, every so many seconds, in each worker from the moment its code takes over; the first
---time after one interval. What it raises is logged and counted, and the timer goes on. By its name it goes on over
---a reload where it stood. docs/background.md has all of it.
---@param seconds number 0.001 to 31622400, from tick to tick, however long a run takes
---@param fn fun()
---@param options? { name?: string, jitter?: number|string, overlap?: "skip"|"queue"|"allow", queue?: integer,
---  once?: "server", immediately?: boolean } jitter: seconds, or "10%" of the interval
---@return moonloop.Timer
function App:every(seconds, fn, options)
    local entry = require("moonloop.background").every(root_of(self, "every"), seconds, fn, options, 2)
    return entry
end

---Runs `fn` at times of day: `line` is "minute hour day-of-month month day-of-week", or "@daily" and its sisters.
---A line that is wrong, or that can never run, fails at load.
---@param line string
---@param fn fun()
---@param options? { name?: string, zone?: string, timezone?: string, jitter?: number,
---  overlap?: "skip"|"queue"|"allow", queue?: integer, once?: "server" } zone: "Europe/Berlin"; default the machine's
---@return moonloop.Timer
function App:cron(line, fn, options)
    local entry = require("moonloop.background").cron(root_of(self, "cron"), line, fn, options, 2)
    return entry
end

---Runs `fn(...)` as a task that outlives the request. While one of that name runs, another call gives the handle of
---that one. Declared while the file is loaded, it runs in each worker from the moment its code takes over, and is
---cancelled when that leaves; started in a handler, a stop waits for it. Raises `full` beyond `max_background`.
---@param name string|{ name: string, timeout?: number, once?: "server" }
---@param fn function
---@param ... any at most 200
---@return moonloop.Background handle
---@return boolean is_new false: it ran already
function App:background(name, fn, ...)
    local entry, is_new = require("moonloop.background").background(root_of(self, "background"), name, fn, 2, ...)
    return entry, is_new
end

---A table of this app that survives reloads, in each worker on its own: when the code is replaced, what
---the old table holds is copied into the new one. Plain data only (what string.buffer can encode).
---@param name string
---@param init? fun(): table what it holds at first
---@return table
function App:state(name, init)
    if type(name) ~= "string" then
        error("state: expected a name, got a " .. type(name), 2)
    end
    if init ~= nil then
        check_function(init, "state")
    end
    local states = (self.root or self).states
    if not states[name] then
        local value = init and init() or {}
        if type(value) ~= "table" then
            error(("state %q: init has to return a table, not a %s"):format(name, type(value)), 2)
        end
        states[name] = value
    end
    return states[name]
end

---The middleware around a handler of `owner`, outermost first: the app's, then each group's.
local function chain_of(owner)
    local chain = {}
    while owner do
        for i = #owner.middleware, 1, -1 do
            table.insert(chain, 1, owner.middleware[i])
        end
        owner = owner.parent
    end
    return chain
end

---A handler with its middleware. Handlers without any stay as they are: nothing is paid for it.
---@param owner moonloop.App app or group
---@param handler function
---@return function
function M.compose(owner, handler)
    local chain = chain_of(owner)
    for i = #chain, 1, -1 do
        local around, inner = chain[i], handler
        handler = function(req, res)
            return around(req, res, function()
                return inner(req, res)
            end)
        end
    end
    return handler
end

---The handler for paths that no route covers, with the app's middleware: answers 404 unless it says otherwise.
---@param owner moonloop.App
---@return function
function M.compose_missing(owner)
    return M.compose(owner, function(req, res)
        local body, status, headers = owner.missing_handler(req, res)
        return body, status or rawget(res, "status") or 404, headers
    end)
end

return M
