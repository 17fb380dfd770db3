---@meta moonloop.core.job
--- Work that belongs to no request, for moonloop's own Lua alone (lua/moonloop/background/). What waits gives
--- `true, ...` or `false, error`.

local job = {}

---Runs `fn(...)` as a task of its own, beginning when the running task next waits. Raises `full`.
---@param app string
---@param limit integer how many jobs the app may have; 0: any number; -1: a helper, which does not count
---@param key string? under which count, wait and cancel find it
---@param name string for the log
---@param handle table filled when the task ends
---@param on_end fun(handle: table, state: "done"|"failed"|"cancelled", err: any) called outside of any task
---@param fn function
---@param ... any at most 200
function job.start(app, limit, key, name, handle, on_end, fn, ...) end

---The same, beginning when the request has been answered.
---@param token number of the request
---@param app string
---@param limit integer
---@param key string?
---@param name string
---@param handle table
---@param on_end fun(handle: table, state: "done"|"failed"|"cancelled", err: any)
---@param fn function
---@param ... any at most 200
function job.after(token, app, limit, key, name, handle, on_end, fn, ...) end

---@param key string
---@return integer alive in this worker, whatever their generation
function job.count(key) end

---Until there is none.
---@param key string
---@return boolean, any
function job.wait(key) end

---@param key string
---@param message string
---@return integer count of those that were cancelled
function job.cancel(key, message) end

---@return boolean whether the running task works for a request or a job, rather than for its app
function job.is_asked() end

return job
