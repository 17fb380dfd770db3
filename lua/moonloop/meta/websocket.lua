---@meta moonloop.core.websocket
--- Messages on a connection after a 101, in C, for lua/moonloop/websocket.lua and its sisters alone. Functions that
--- wait return `true, ...` or `false, error`.

local core = {}

---Takes the connection over. A server's ends with the running task. `options` are checked already.
---@param duplex userdata of moonloop.core.duplex, which is closed from then on
---@param options { is_client: boolean, compress: boolean, max_message: integer, max_frame: integer,
---  ping_interval: number, ping_timeout: number, close_timeout: number }
---@return userdata websocket
function core.open(duplex, options) end

---Waits for a message; nil at the end. Raises `misuse` while another task receives.
---@param websocket userdata
---@return boolean ok
---@return string|table|nil message
---@return "text"|"binary"|nil kind
function core.receive(websocket) end

---Sends a message; waits while the peer is slow. Raises `misuse` for text that is not UTF-8.
---@param websocket userdata
---@param bytes string
---@param is_binary boolean
---@return boolean ok
---@return table? error
function core.send(websocket, bytes, is_binary) end

---Says goodbye, once; does not wait.
---@param websocket userdata
---@param code integer
---@param reason? string
---@param is_last? boolean what still comes is thrown away; whoever receives is told the end
function core.close(websocket, code, reason, is_last) end

---Waits until both sides have said goodbye, or the connection is gone.
---@param websocket userdata
---@return boolean ok
function core.wait_over(websocket) end

---@param websocket userdata
function core.release(websocket) end

---@param websocket userdata
---@return "open"|"closing"|"closed" state
---@return integer? code of the first goodbye
---@return string? reason
function core.state(websocket) end

---What a server answers to Sec-WebSocket-Key.
---@param key string
---@return string
function core.accept(key) end

---A key for a client's handshake, that nobody can guess.
---@return string
function core.key() end

return core
