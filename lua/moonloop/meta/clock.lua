---@meta moonloop.core.clock
--- The clocks of the loop in C, for moonloop's own Lua alone: users call moonloop.now and moonloop.testing.

local clock = {}

---@return number seconds, monotonic
function clock.now() end

---@return number seconds since 1970
function clock.wall() end

---@class moonloop.core.Virtual: userdata

---@param wall number Unix time in seconds
---@param on_stuck fun(waiting: string[]): any makes the error that ends the running task when everything waits
---@return moonloop.core.Virtual
function clock.virtual_start(wall, on_stuck) end

---@param virtual moonloop.core.Virtual harmless twice
function clock.virtual_stop(virtual) end

---@param seed number 0: tasks that are ready run first come, first served; else in an order drawn from it
function clock.shuffle(seed) end

return clock
