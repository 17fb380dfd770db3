--- For specs of tasks: what a call raises, and whether anything is left.

local assert = require("luassert")
local core = require("moonloop.core.task")
local moonloop = require("moonloop")

local M = {}

---@return string message
---@return string? code
function M.raised(fn, ...)
    local ok, err = pcall(fn, ...)
    assert.is_false(ok, "it raised nothing")
    return tostring(err), type(err) == "table" and err.code or nil
end

---Runs ready tasks until `is_true()`; raises after a thousand rounds.
---@param is_true fun(): boolean
function M.until_true(is_true)
    for _ = 1, 1000 do
        if is_true() then
            return
        end
        moonloop.sleep(0)
    end
    error("it does not become true", 2)
end

---A function that fails when there are more tasks or timers than now.
---@return fun()
function M.leak_check()
    local before = core.counts()
    return function()
        local now = core.counts()
        -- Fewer is well: something of before was due, such as a timer that looks after a thread.
        assert.is_true(now.tasks <= before.tasks, now.tasks .. " tasks, were " .. before.tasks)
        assert.is_true(now.timers <= before.timers, now.timers .. " timers, were " .. before.timers)
    end
end

return M
