---@meta moonloop.core.duplex
--- Connections after a 101, in C, for lua/moonloop/http/connection.lua alone. Functions that wait return `true, ...`
--- or `false, error`, and raise `closed` for one that was closed on this side.

local core = {}

---Waits for bytes; nil at the end. Raises `misuse` while another task reads.
---@param duplex userdata
---@return boolean ok
---@return string|table|nil bytes
function core.read(duplex) end

---Sends and waits while the peer is slow. Raises `misuse` while another task writes.
---@param duplex userdata
---@param bytes string
---@return boolean ok
---@return table? error
function core.write(duplex, bytes) end

---Nothing more is sent.
---@param duplex userdata
function core.finish(duplex) end

---@param duplex userdata
function core.close(duplex) end

---@param duplex userdata
---@return "open"|"ended"|"lost"|"closed"
function core.state(duplex) end

return core
