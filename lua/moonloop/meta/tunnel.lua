---@meta moonloop.core.tunnel
--- Connections after a 101, in C, for lua/moonloop/http/connection.lua alone. Functions that wait return `true, ...`
--- or `false, error`, and raise `closed` for one that was closed on this side.

local core = {}

---Waits for bytes; nil at the end. Raises `misuse` while another task reads.
---@param tunnel userdata
---@return boolean ok
---@return string|table|nil bytes
function core.read(tunnel) end

---Sends and waits while the peer is slow. Raises `misuse` while another task writes.
---@param tunnel userdata
---@param bytes string
---@return boolean ok
---@return table? error
function core.write(tunnel, bytes) end

---Nothing more is sent.
---@param tunnel userdata
function core.finish(tunnel) end

---@param tunnel userdata
function core.close(tunnel) end

---@param tunnel userdata
---@return "open"|"ended"|"lost"|"closed"
function core.state(tunnel) end

return core
