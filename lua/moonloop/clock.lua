--- The two clocks: one that measures, one that tells the time of day. All of moonloop's own Lua asks here, so that
--- virtual time in specs has one place to stand in.

local M = {}

---Monotonic seconds, for measuring; unrelated to the time of day.
---@type fun(): number
M.now = require("moonloop.core.task").now

---Unix time in seconds, as the machine believes it to be now.
---@type fun(): number
M.wall = require("moonloop.core.job").wall

return M
