--- app:ws: the handshake, the handler, the goodbye.

local activity = require("moonloop.activity")
local core = require("moonloop.core.request")
local errors = require("moonloop.util.errors")
local handshake = require("moonloop.websocket.handshake")
local log = require("moonloop.log")
local options_of = require("moonloop.websocket.options")
local streams = require("moonloop.streams")
local websocket = require("moonloop.websocket")

local M = {}

local GOING_ON, FAILED, NORMAL = "cancelled", 1011, 1000

local function list()
    local rows = {}
    for stream in streams.each() do
        local rules = rawget(stream, "rules")
        if rules then
            rows[#rows + 1] = {
                kind = "websocket", name = rules.route, app = rules.app, since = stream.since,
                state = stream.draining and "draining" or "open",
            }
        end
    end
    return rows
end

---Its end, whatever became of the handler. A handler that could not send because the client left has not failed.
local function finish(ws, ok, err)
    streams.remove(ws)
    if ok then
        websocket.finish(ws, NORMAL)
    elseif errors.is(err, GOING_ON) then
        error(err, 0)
    elseif errors.is(err, "closed") and ws.closed then
        websocket.finish(ws, NORMAL)
    else
        log.error(errors.message(err), { traceback = errors.trace(err) })
        websocket.finish(ws, FAILED)
    end
end

---The handshake. On its own, so that its frame is not on the stack of a task that lives for days.
local function accept(req, settings, rules)
    local function header(name) -- all of them would be held as long as req
        return core.header(req[1], name)
    end
    local headers, protocol, compresses = handshake.answer(req, header, rules, settings.compress)
    if compresses ~= settings.compress then
        settings = rules.plain
    end
    req.remote_addr = req.remote_addr -- asked for while there is a peer
    local duplex, why = core.upgrade(req[1], "websocket", headers)
    if not duplex then
        handshake.ask(why)
    end
    rules.route, rules.app = rules.route or req.route, rules.app or req.app
    local ws = websocket.open(duplex, settings, protocol, rules)
    streams.add(ws)
    return ws
end

---@param options moonloop.WebSocketOptions
---@param handler fun(ws: moonloop.WebSocket, req: moonloop.Request)
---@param level integer as of error()
---@return table route options of the route
---@return fun(req: moonloop.Request)
function M.of(options, handler, level)
    local settings, rules, route = options_of.of_route(options, level + 1)
    rules.plain = {}
    for name, value in pairs(settings) do
        rules.plain[name] = value
    end
    rules.plain.compress = false
    activity.register("websocket", list)
    local traced = errors.traced
    return route, function(req)
        local ws = accept(req, settings, rules)
        local ok, err = xpcall(handler, traced, ws, req)
        finish(ws, ok, err)
    end
end

return M
