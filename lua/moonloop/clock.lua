--- The two clocks, in one place: whatever asks for the time asks here, and a spec's virtual time reaches it.

local core = require("moonloop.core.clock")

local M = {}

---Monotonic seconds, for measuring; unrelated to the time of day.
---@return number
M.now = core.now

---Unix time in seconds, with fractions. May jump when somebody sets the clock: no measure of how long things take.
---@return number
M.wall = core.wall

return M
