---@meta moonloop.core.offload
--- Jobs for offload threads as bytes, for moonloop's own Lua alone.

local offload = {}

---Keeps bytes where every thread that works for this VM can fetch them.
---@param bytes string
---@return integer? number nil when there are 10,000 already
function offload.put(bytes) end

---Sends a job and waits. Raises `full` when 1000 wait already, `system` when no thread can be started.
---@param message string
---@param label string names the job in the log
---@return boolean ok false: the wait was interrupted
---@return boolean|any is_ok whether the job succeeded; the error after false
---@return string? message its results, or its error; "" when the thread could not be set up
function offload.submit(message, label) end

---@return boolean is_thread whether this VM is an offload thread's
function offload.is_thread() end

---@return { size: integer, threads: integer, busy: integer, waiting: integer, lost: integer, jobs: integer }
function offload.stats() end

return offload
