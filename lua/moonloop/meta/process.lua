---@meta moonloop.core.process
--- The C half of moonloop.process (core/script/lib_process.c), for moonloop's own Lua alone. What waits gives
--- `true, ...` or `false, error`. Raises `closed` for a process that was let go.

local core = {}

---@class moonloop.core.Process: userdata

---Waits until it has begun.
---@param asked moonloop.process.Request
---@return moonloop.core.Process? nil when it cannot be started
---@return integer? stage for start_reason; nil: max_processes run already
---@return integer? errno for start_reason
function core.start(asked) end

---@param asked moonloop.process.Request
---@param stage integer
---@param errno integer
---@return string code
---@return string message for a person
function core.start_reason(asked, stage, errno) end

---@param process moonloop.core.Process
---@param stream 1|2
---@param mode "chunk"|"bytes"|"line"|"all"
---@param bytes? integer how many, or the limit of a line or of all
---@return boolean, any
function core.read(process, stream, mode, bytes) end

---@param process moonloop.core.Process
---@param bytes string
---@return boolean, any
function core.write(process, bytes) end

---Writes without being waited for, then ends its standard input.
---@param process moonloop.core.Process
---@param bytes string
function core.feed(process, bytes) end

---@param process moonloop.core.Process
function core.close_input(process) end

---@param process moonloop.core.Process
---@param stream 1|2
---@return string what was read and not taken
function core.take(process, stream) end

---@param process moonloop.core.Process
---@param is_whole boolean its outputs as well
---@return boolean ok
---@return integer|any status or the error
---@return string? signal
---@return number? seconds
---@return boolean? has_timed_out
---@return string? excess "stdout" or "stderr"
function core.wait(process, is_whole) end

---@param process moonloop.core.Process
---@return "running"|"ended" state
---@return integer? status
---@return string? signal
---@return number seconds
---@return boolean has_timed_out
---@return string? excess
function core.state(process) end

---@param process moonloop.core.Process
---@return integer
function core.pid(process) end

---@param process moonloop.core.Process
---@param signal integer
---@return boolean sent
function core.kill(process, signal) end

---Ends it without waiting.
---@param process moonloop.core.Process
function core.let_go(process) end

---@param name string|integer
---@return integer?
function core.signal(name) end

---@return string[] "NAME=value"
function core.environment() end

return core
