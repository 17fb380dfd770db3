---@meta moonloop.core.task
--- The scheduler in C, for moonloop's own Lua alone: users call the functions of `moonloop`. What waits gives
--- `true, ...` or `false, error`.

local task = {}

---@class moonloop.core.Scope: userdata

---@param seconds number 0 to 31622400
---@return boolean, any
function task.sleep(seconds) end

---@param handle table filled when the task ends: [1..n], n, err, state, site
---@param scope moonloop.core.Scope|false? the running task's innermost when nil, nobody's when false
---@param fn function
---@param ... any at most 200
function task.spawn(handle, scope, fn, ...) end

---@param handle table
---@return boolean, any
function task.wait(handle) end

---@param handle table
---@param err any what its waits raise
function task.cancel(handle, err) end

---@param handle table
---@return "ready"|"running"|"waiting"|nil status nil when it has ended
function task.status(handle) end

---@param deadline number? seconds
---@param fails_fast boolean
---@param is_shield boolean
---@param is_of_one_call? boolean of map or gather: its tasks were spawned where it was entered, and have one result
---@return moonloop.core.Scope
function task.scope_enter(deadline, fails_fast, is_shield, is_of_one_call) end

---@param scope moonloop.core.Scope
---@param err any
function task.scope_cancel(scope, err) end

---@param scope moonloop.core.Scope
---@return boolean
---@return any was_alone whether there was nothing to wait for, or the error
function task.scope_join(scope) end

---@param scope moonloop.core.Scope
---@return boolean is_cancelled
---@return any reason
---@return boolean has_failure
---@return any failure the first of a child
function task.scope_leave(scope) end

---Leaves it with whatever it holds, cancelled.
---@param scope moonloop.core.Scope
function task.scope_give_up(scope) end

---@return string? site "apps/a.lua:12": where the caller of moonloop's own Lua stands in a user's file
function task.site() end

---@return boolean
function task.is_task() end

---@return boolean
function task.can_wait() end

---@return false, any
function task.refuse_wait() end

---@return table<thread, true> weak: those that Lua must not resume
function task.coroutines() end

---@return { tasks: integer, spare: integer, timers: integer, handles: integer }
function task.counts() end

---@return any
function task.wait_marker() end

return task
