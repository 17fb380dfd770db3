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

---@return any err what it raised: an error object, when the world has failed
function M.failure(fn, ...)
    local ok, err = pcall(fn, ...)
    assert.is_false(ok, "it raised nothing")
    return err
end

---Waits until `probe` gives something true, which is the result, while the loop runs; raises after 20 seconds.
---@generic T
---@param probe fun(): T
---@return T
function M.eventually(probe)
    return moonloop.timeout(20, function()
        local result = probe()
        while not result do
            moonloop.sleep(0.002)
            result = probe()
        end
        return result
    end)
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

---What there is once timers of earlier specs, such as the one that looks after a thread that ends, have gone: at
---most a second later.
---@return { tasks: integer, timers: integer }
function M.counts_at_rest()
    for _ = 1, 100 do
        if core.counts().timers == 0 then
            break
        end
        moonloop.sleep(0.01)
    end
    return core.counts()
end

---A function that fails when there are not as many tasks and timers as now.
---@return fun()
function M.leak_check()
    local before = M.counts_at_rest()
    return function()
        local now = core.counts()
        assert.equal(before.tasks, now.tasks, "tasks")
        assert.equal(before.timers, now.timers, "timers")
    end
end

return M
