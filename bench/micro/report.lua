--- What the Lua benches of this directory share. They run from the root: `build/moonloop run bench/micro/tasks.lua`.

local moonloop = require("moonloop")

local M = {}

local ROUNDS = 5

local function line_of(command)
    local pipe = assert(io.popen(command .. " 2>/dev/null"))
    local line = pipe:read("*l")
    pipe:close()
    return line or "unknown"
end

---Says where the figures below come from.
function M.head()
    print(("machine: %s"):format(line_of("grep -m1 'model name' /proc/cpuinfo | cut -d: -f2 | xargs")))
    print(("commit:  %s"):format(line_of("git describe --always --dirty")))
end

---@param fn fun()
---@return number seconds of the best of several rounds
function M.best_of(fn)
    local best = math.huge
    for _ = 1, ROUNDS do
        collectgarbage()
        local before = moonloop.now()
        fn()
        best = math.min(best, moonloop.now() - before)
    end
    return best
end

---Prints the best of several rounds, in microseconds for one.
---@param name string
---@param times integer what `fn` is given: how often it does it
---@param fn fun(times: integer)
---@return number seconds for all
function M.measure(name, times, fn)
    local best = M.best_of(function()
        fn(times)
    end)
    print(("%-50s %8.3f µs"):format(name, best / times * 1e6))
    return best
end

return M
