---@meta moonloop.core.topic
--- Topics in C, for moonloop.topic alone. Messages are bytes here.

local topic = {}

---@class moonloop.core.Subscription: userdata

---To all who subscribe, in every worker. Raises `too_large`; on a thread that has no way to a worker, `misuse`.
---@param name string 1 to 255 bytes
---@param bytes string
function topic.publish(name, bytes) end

---Raises `misuse` outside of a task and on an offload thread.
---@param name string
---@param queue moonloop.core.WaitQueue of those who wait for a message: woken with what `take` gives, or with nil
---@param limit integer messages
---@param limit_bytes integer
---@param overflow "drop_oldest"|"drop_newest"|"close"
---@return moonloop.core.Subscription
function topic.subscribe(name, queue, limit, limit_bytes, overflow) end

---@param subscription moonloop.core.Subscription
---@return string|table|nil taken the bytes, or { bytes, how many were lost before }; nil: there is none now
function topic.take(subscription) end

---@param subscription moonloop.core.Subscription
function topic.close(subscription) end

---@param subscription moonloop.core.Subscription
---@return "open"|"closed"|"overrun"
function topic.state(subscription) end

---@param subscription moonloop.core.Subscription
---@return integer held
---@return integer lost
---@return integer received
function topic.counts(subscription) end

---@return { topic: string, queued: integer, limit: integer, lost: integer, received: integer, waiting: integer }[]
function topic.list() end

return topic
