--- Random trees of tasks, in virtual time and in random orders: each wait ends exactly once, and no task, timer,
--- handle, wait or coroutine is left. TASK_SEED repeats a run, TASK_TREES sets how many.

local clock = require("moonloop.core.clock")
local core = require("moonloop.core.task")
local moonloop = require("moonloop")
local server = require("spec.support.server")
local task_tree = require("spec.support.task_tree")
local testing = require("moonloop.testing")

local TREES = tonumber(os.getenv("TASK_TREES")) or (server.is_sanitized and 1000 or 10000)
local SEED = tonumber(os.getenv("TASK_SEED")) or os.time()

---@param seed integer
---@return fun(n: integer): integer random 1..n
---@return fun(): integer state a seed that goes on from here
local function generator(seed)
    local at = seed % 2147483646 + 1
    return function(n)
        at = (at * 16807) % 2147483647
        return at % n + 1
    end, function()
        return at - 1
    end
end

---Lets the connections that earlier specs left idle close: from here on the counts may not change at all.
local function settle()
    for _ = 1, 2 do
        collectgarbage()
        moonloop.sleep(3600)
    end
end

local function count(set)
    local number = 0
    for _ in pairs(set) do
        number = number + 1
    end
    return number
end

describe("random trees of tasks", function()
    after_each(function() clock.shuffle(0) end)

    it("leave nothing behind, and end each wait once", function()
        local random, state = generator(SEED)
        local threads = setmetatable({}, { __mode = "k" })
        testing.virtual(function()
            settle()
            local before = core.counts()
            for i = 1, TREES do
                local seed = state()
                clock.shuffle(random(2) == 1 and random(1000000) or 0)
                local tree = task_tree.new(random)
                local ok, err = pcall(task_tree.run, tree)
                local where = (" (tree %d, TASK_SEED=%d TASK_TREES=1)"):format(i, seed)
                assert(ok, tostring(err) .. where)
                assert(tree.begun == tree.ended, "waits that ended are not those that began" .. where)
                local now = core.counts()
                for _, what in ipairs({ "tasks", "timers", "waits", "handles" }) do
                    assert(before[what] == now[what], ("%s: %d, were %d%s"):format(what, now[what], before[what],
                        where))
                end
                for thread in pairs(tree.threads) do
                    threads[thread] = true
                end
            end
        end)
        collectgarbage()
        collectgarbage()
        local known = core.coroutines()
        for thread in pairs(threads) do
            assert(known[thread], "a coroutine is left that is no task's (TASK_SEED=" .. SEED .. ")")
        end
        local counts = core.counts()
        assert.equal(counts.tasks + counts.spare, count(known))
    end)
end)
