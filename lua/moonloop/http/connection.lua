--- A connection after an upgrade (101): bytes both ways, on the server's side and on the client's.

local core = require("moonloop.core.duplex")
local handles = require("moonloop.util.handle")

local settle = require("moonloop.util.errors").settle

local M = {}

---@class moonloop.http.Connection
---@field protocol string what was switched to, as it was offered
---@field state "open"|"ended"|"lost"|"closed" ended by the other side; lost: reset or cut; closed on this side
---@field private duplex userdata
local Connection = { __name = "moonloop.http.Connection", __transfer = false }

local methods = {}

function Connection.__index(self, key)
    if key == "state" then
        return core.state(rawget(self, "duplex"))
    end
    return methods[key]
end

---@param duplex userdata
---@param protocol string
---@return moonloop.http.Connection
function M.new(duplex, protocol)
    return setmetatable({ duplex = duplex, protocol = protocol }, Connection)
end

---What has come; waits for it. nil once the other side has ended its direction. One task at a time. A wait that is cut
---short loses nothing: the next read has it. Raises `closed` when the connection was reset or closed on this side.
---@return string? bytes at least one
function methods:read()
    return (settle(core.read(self.duplex)))
end

---Iterates over what comes, to the end: `for bytes in connection:chunks() do`.
---@return fun(): string?
function methods:chunks()
    return function()
        return (settle(core.read(self.duplex)))
    end
end

---Sends; waits while more than 256 KiB are on their way. One task at a time. Raises `closed` when nothing can be sent
---any more.
---@param bytes string
function methods:write(bytes)
    settle(core.write(self.duplex, bytes))
end

---Nothing more will be sent: the other side reads the end behind what was. It may go on sending.
function methods:finish()
    core.finish(self.duplex)
end

---Ends it: what was written still leaves, what comes is thrown away. Also twice. Whoever reads or writes raises
---`closed`.
function methods:close()
    core.close(self.duplex)
end

---For what goes on with the connection in another way, such as a WebSocket. No part of the face.
---@return userdata duplex
function methods:detach()
    return self.duplex
end

handles.finish(Connection, "connection", function(self)
    return ("connection %s (%s)"):format(rawget(self, "protocol"), self.state)
end, methods)

return M
