--- app:sse: event streams (text/event-stream), as browsers' EventSource reads them.

local activity = require("moonloop.activity")
local errors = require("moonloop.util.errors")
local handles = require("moonloop.util.handle")
local log = require("moonloop.log")
local mutex = require("moonloop.sync.mutex").mutex
local now = require("moonloop.clock").now
local options_of = require("moonloop.options")
local request = require("moonloop.core.request")
local streams = require("moonloop.streams")
local task = require("moonloop.task")

local settle = errors.settle

local M = {}

local RETRY_MAX = 86400 -- seconds

---@class moonloop.EventStream: moonloop.Stream
---@field last_event_id? string the id of the last event that the client has seen, when it comes back
---@field draining boolean the server wants it to end: a reload or a stop
---@field private token number
---@field private res moonloop.Response
---@field private turn moonloop.Mutex
---@field private sent_at number
local EventStream = { __name = "moonloop.EventStream", __transfer = false }

local methods = {}

EventStream.__index = methods

local function write(stream, bytes)
    stream.turn:with(function()
        settle(request.write(stream.token, stream.res, bytes))
    end)
    stream.sent_at = now()
end

---Lines of a field: a CR, an LF or both end one.
local function add_lines(parts, name, text)
    for line in (text:gsub("\r\n?", "\n") .. "\n"):gmatch("(.-)\n") do
        parts[#parts + 1] = name .. ": " .. line .. "\n"
    end
end

local function one_line(name, value, level)
    if type(value) == "number" then
        value = tostring(value)
    end
    if type(value) ~= "string" or value:find("[\r\n%z]") then
        error(("stream:send: %s: expected one line of text, got %s"):format(name,
            type(value) == "string" and "a text with a line break or a NUL" or "a " .. type(value)), level + 1)
    end
    return value
end

local FIELDS = { data = "string|table|number|boolean", event = "string", id = "string|number", retry = "number" }

---The bytes of an event.
---@param event moonloop.Event|string
---@param level integer as of error()
---@return string
function M.encode(event, level)
    if type(event) == "string" then
        event = { data = event }
    elseif type(event) ~= "table" then
        error("stream:send: expected a text, or a table with data, event, id, retry, got a " .. type(event), level + 1)
    end
    options_of.check("stream:send", event, FIELDS, level + 1)
    local parts = {}
    if event.event then
        parts[1] = "event: " .. one_line("event", event.event, level + 1) .. "\n"
    end
    if event.id then
        parts[#parts + 1] = "id: " .. one_line("id", event.id, level + 1) .. "\n"
    end
    if event.retry then
        if not (event.retry >= 0 and event.retry <= RETRY_MAX) then
            error(("stream:send: retry: expected 0 to %d seconds, got %s"):format(RETRY_MAX, event.retry), level + 1)
        end
        parts[#parts + 1] = ("retry: %d\n"):format(event.retry * 1000)
    end
    if type(event.data) == "table" then
        add_lines(parts, "data", require("moonloop.json").encode(event.data))
    elseif event.data ~= nil then
        add_lines(parts, "data", tostring(event.data))
    end
    parts[#parts + 1] = "\n"
    return table.concat(parts)
end

---@class moonloop.Event
---@field data? string|table|number|boolean a table is sent as JSON; lines of a text as lines
---@field event? string its type; "message" when nil
---@field id? string|number what `last_event_id` is when the client comes back
---@field retry? number seconds until the client comes back after the connection was lost

---Sends an event: a table, or its data alone. Waits for a slow client. From several tasks as well, each event whole.
---Raises `closed` when the client has gone.
---@param event moonloop.Event|string
function methods:send(event)
    write(self, M.encode(event, 2))
end

---Sends what clients ignore.
---@param text? string
function methods:comment(text)
    local parts = {}
    add_lines(parts, "", text or "")
    write(self, table.concat(parts) .. "\n")
end

---Calls `callback(stream)`, as a task of its own, when the server wants the stream to end: see docs/sse.md. At once
---when it does already.
---@param callback fun(stream: moonloop.EventStream)
function methods:on_draining(callback)
    streams.on_draining(self, callback)
end

---For streams.lua.
function methods:finish_draining()
    self.is_ended = true
    self.scope:cancel("the server wants its event streams to come back")
end

-- ---- routes ----

local OPTIONS = { heartbeat = "number", drain_timeout = "number", limit = "number", retry = "number" }

local function list()
    local rows = {}
    for stream in streams.each() do
        if getmetatable(stream) == EventStream then
            rows[#rows + 1] = {
                kind = "sse", name = stream.route, app = stream.app, since = stream.since,
                state = stream.draining and "draining" or "open",
            }
        end
    end
    return rows
end

---Keeps what is between from thinking that nobody is there, and finds out when the client is not.
local function beat(stream, seconds)
    while true do
        task.sleep(math.max(0.001, stream.sent_at + seconds - now()))
        if now() - stream.sent_at >= seconds - 0.001 then
            stream:comment()
        end
    end
end

local function serve(stream, req, handler, heartbeat)
    local _, err = task.enclose(nil, true, false, function(scope)
        stream.scope = scope
        local beating = heartbeat > 0 and scope:spawn(beat, stream, heartbeat)
        handler(stream, req)
        if beating then
            beating:cancel()
        end
    end)
    streams.remove(stream)
    if err == nil or stream.is_ended then
        return
    elseif errors.is(err, "cancelled") or errors.is(err, "closed") then
        error(err, 0)
    end
    log.error(errors.message(err), { traceback = errors.trace(err) }) -- ended, not cut: what was sent arrives
end

local function run(req, res, handler, settings)
    res.status = 200
    res.headers["Content-Type"] = "text/event-stream"
    res.headers["Cache-Control"] = "no-cache"
    res.headers["X-Accel-Buffering"] = "no"
    if req.method == "HEAD" then
        return ""
    end
    local stream = setmetatable({
        token = req[1], res = res, turn = mutex(), sent_at = now(), draining = false, route = req.route, app = req.app,
        since = os.time(), drain_timeout = settings.drain_timeout, last_event_id = req.headers["last-event-id"],
    }, EventStream)
    request.unbounded(req[1])
    settle(request.begin(req[1], res))
    if settings.retry then
        stream:send({ retry = settings.retry })
    end
    streams.add(stream)
    serve(stream, req, handler, settings.heartbeat)
end

---@class moonloop.EventStreamOptions
---@field limit? integer streams of this route at once, in each worker; beyond it 503
---@field heartbeat? number seconds of silence (15) after which a comment is sent; 0: none
---@field retry? number seconds that clients wait before they come back; default: the browser's
---@field drain_timeout? number seconds (10) of grace when the code is replaced or the worker stops

local function check_range(options, name, most, level)
    local value = options[name]
    if value and not (value >= 0 and value <= most) then
        error(("app:sse: %s: expected 0 to %d seconds, got %s"):format(name, most, value), level + 1)
    end
    return value
end

---@param options moonloop.EventStreamOptions
---@param handler fun(stream: moonloop.EventStream, req: moonloop.Request)
---@param level integer as of error()
---@return table route options of the route
---@return fun(req: moonloop.Request, res: moonloop.Response)
function M.of(options, handler, level)
    options_of.check("app:sse", options, OPTIONS, level)
    local settings = {
        heartbeat = check_range(options, "heartbeat", 86400, level) or 15,
        retry = check_range(options, "retry", RETRY_MAX, level),
        drain_timeout = check_range(options, "drain_timeout", 86400, level) or 10,
    }
    activity.register("sse", list)
    return { limit = options.limit, run = "loop" }, function(req, res)
        return run(req, res, handler, settings)
    end
end

handles.finish(EventStream, "stream", function(self)
    return handles.text("event stream " .. tostring(rawget(self, "route")), self.draining and "draining")
end, methods)

return M
