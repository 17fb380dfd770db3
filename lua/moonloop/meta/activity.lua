---@meta moonloop.core.activity
--- The tasks of a VM in C, for moonloop.activity alone.

local activity = {}

---@class moonloop.core.TaskLine
---@field kind "request"|"after"|"job"|"helper"|"task"
---@field name string the route, the name of the job or task, or where it was spawned
---@field app? string of a job
---@field of? string the route or the job that it works for
---@field state "new"|"ready"|"running"|"waiting"|"ending" its children are still to end
---@field since number Unix time in seconds of its start
---@field from? string the address of the client that asked, of a request
---@field where? string where it waits: "apps/a.lua:12 in sleep"

---@param limit integer
---@return moonloop.core.TaskLine[]
---@return integer left how many there are beyond the limit
function activity.tasks(limit) end

return activity
