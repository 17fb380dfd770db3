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
        local route = rawget(stream, "route")
        if route then
            rows[#rows + 1] = {
                kind = stream.kind, name = route, app = stream.app, since = stream.since,
                state = stream.draining and "draining" or "open",
            }
        end
    end
    return rows
end

---Its end, whatever became of the handler. A handler that could not send because the client left has not failed.
local function finish(ws, ok, err)
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

local function run(req, handler, settings, rules)
    local headers, protocol, compresses = handshake.answer(req, rules, settings.compress)
    if compresses ~= settings.compress then
        settings = rules.plain
    end
    req.remote_addr = req.remote_addr -- asked for while there is a peer
    local duplex, why = core.upgrade(req[1], "websocket", headers)
    if not duplex then
        handshake.ask(why)
    end
    local ws = websocket.open(duplex, settings, protocol, rules.drain_timeout)
    ws.kind, ws.route, ws.app, ws.since = "websocket", req.route, req.app, os.time()
    streams.add(ws)
    local ok, err = xpcall(handler, errors.traced, ws, req)
    streams.remove(ws)
    finish(ws, ok, err)
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
    return route, function(req)
        run(req, handler, settings, rules)
    end
end

return M
