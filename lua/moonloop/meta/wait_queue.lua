---@meta moonloop.core.wait_queue
--- Queues of waiting tasks in C, for moonloop.sync alone. What waits never raises: it gives `true, ...`, or
--- `false, error`, or `false` alone when the time is up.

local wait_queue = {}

---@class moonloop.core.WaitQueue: userdata

---@param name string for messages
---@param limit integer how many tasks may wait
---@return moonloop.core.WaitQueue
function wait_queue.new(name, limit) end

---@param queue moonloop.core.WaitQueue
---@param tag? integer told to whoever wakes
---@param seconds? number
---@return boolean
---@return any value what it is woken with
function wait_queue.wait(queue, tag, seconds) end

---@param seconds? number
---@param ... any a queue or the handle of a task, its tag; and so on
---@return boolean
---@return integer number which one it was
---@return any value
function wait_queue.wait_several(seconds, ...) end

---@param queue moonloop.core.WaitQueue
---@param value? any
---@return integer? tag of the task that was woken; nil: none waits
function wait_queue.wake(queue, value) end

---@param queue moonloop.core.WaitQueue
---@param value? any
---@return integer count
function wait_queue.wake_all(queue, value) end

---@param queue moonloop.core.WaitQueue
---@return integer? tag of the first that waits
function wait_queue.first(queue) end

---@param queue moonloop.core.WaitQueue
---@return boolean
---@return any
function wait_queue.lock(queue) end

---@param queue moonloop.core.WaitQueue
---@return boolean
---@return any
function wait_queue.try_lock(queue) end

---@param queue moonloop.core.WaitQueue
---@return boolean
---@return any
function wait_queue.unlock(queue) end

---@param queue moonloop.core.WaitQueue
---@return string? name of the task that holds it
---@return boolean? is_own
function wait_queue.holder(queue) end

return wait_queue
