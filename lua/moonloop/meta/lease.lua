---@meta moonloop.core.lease
--- The C half of moonloop.lock (core/script/lib_lease.c): leases on names. Raises as moonloop.core.shared does.

local lease = {}

---@param name string
---@param ttl number seconds
---@return integer? token nil: another has it
---@return integer pid of the holder
---@return number left seconds
function lease.take(name, ttl) end

---@param name string
---@return integer? token nil: it is free
---@return integer pid
---@return number left seconds
function lease.look(name) end

---@param name string
---@param token integer
---@param ttl number seconds
---@return boolean is_ours
function lease.renew(name, token, ttl) end

---@param name string
---@param token integer
---@return boolean was_ours
function lease.release(name, token) end

---@return integer? serial of the running task; nil outside of one
function lease.task() end

return lease
