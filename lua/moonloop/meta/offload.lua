---@meta moonloop.core.offload
--- Pools and jobs, for moonloop's own Lua alone. Jobs are bytes here: a message, and the big strings beside it.

local offload = {}

---A user of the pool that is like that, made if there is none. `name` "": always a new one; nil: that of
---moonloop.offload. It ends when it is collected.
---@param name string?
---@param kind "thread"|"process"
---@param size integer threads; 0: as many as the configuration says
---@param queue integer jobs that may wait
---@return userdata pool
function offload.open(name, kind, size, queue) end

---Ends this use of the pool. Harmless twice.
---@param pool userdata
function offload.close(pool) end

---Raises `closed`.
---@param pool userdata
---@return table<string, integer|number|string>
function offload.stats(pool) end

---Keeps bytes where every thread that works for this VM can fetch them.
---@param bytes string
---@return integer? number nil when there are 10,000 already
function offload.put(bytes) end

---@return "loop"|"thread"|"process" place of this VM
---@return boolean in_process whether it is in a process of a pool, on whichever thread
function offload.place() end

---What a job sends ahead arrives here, `limit` messages at most.
---@param limit integer
---@return userdata job
function offload.job(limit) end

---Sends a job and waits. Raises `full` when as many wait as may, `closed`, `system` when no thread can be started.
---@param pool userdata
---@param job userdata? gets what the job sends ahead
---@param label string names the job in the log
---@param message string
---@param parts string[]?
---@return boolean ok false: the wait was interrupted
---@return boolean|any is_ok whether the job succeeded; the error after false
---@return string message its results, or its error; a code when is_told
---@return string[]|string? parts of the message; when is_told, why there is none
---@return boolean? is_told it ended without a message
function offload.submit(pool, job, label, message, parts) end

---The next message that the job has sent ahead; waits for it. Raises `misuse` when another task does.
---@param job userdata
---@return boolean ok false: the wait was interrupted
---@return string|any? message nil when there will be none; the error after false
---@return string[]? parts
function offload.next(job) end

---Keeps a message as if the job had sent it.
---@param job userdata
---@param message string
---@param parts string[]?
function offload.keep(job, message, parts) end

---Nothing comes after what is there.
---@param job userdata
function offload.finish(job) end

---@param job userdata
---@return integer count of messages that made room for later ones
function offload.dropped(job) end

return offload
