--- Random trees of tasks with random failures, deadlines and cancellations: each wait ends exactly once, and
--- nothing is left. TASK_SEED repeats a run, TASK_TREES sets how many.

local core = require("moonloop.core.task")
local moonloop = require("moonloop")

local TREES = tonumber(os.getenv("TASK_TREES")) or 3000
local SEED = tonumber(os.getenv("TASK_SEED")) or os.time()

---One tree: `state` counts the waits that began and ended, and holds all tasks for cancellations across it.
local function new_tree(random)
    local state = { begun = 0, ended = 0, tasks = {} }
    local grow

    local function wait(fn, ...)
        state.begun = state.begun + 1
        local results = { pcall(fn, ...) }
        state.ended = state.ended + 1
        if not results[1] then
            error(results[2], 0)
        end
    end

    local function spawn_in(spawn, depth)
        local t = spawn(grow, depth - 1)
        t.is_seen = true -- or the log would tell of each
        state.tasks[#state.tasks + 1] = t
        return t
    end

    local steps = {
        function() wait(moonloop.sleep, random(3) == 1 and 0.001 or 0) end,
        function(depth) wait(spawn_in(moonloop.spawn, depth).wait, state.tasks[#state.tasks]) end,
        function(depth) spawn_in(moonloop.spawn, depth) end,
        function() error("random failure", 0) end,
        function() error({ code = "table" }) end,
        function() error(nil) end,
        function() state.tasks[random(#state.tasks)]:cancel("random") end,
        function() local t = state.tasks[random(#state.tasks)] wait(t.wait, t) end,
        function(depth) wait(moonloop.timeout, random(3) / 1000, grow, depth - 1) end,
        function(depth) wait(moonloop.shield, grow, depth - 1) end,
        function(depth)
            wait(moonloop.scope, { deadline = random(2) == 1 and random(4) / 1000 or nil }, function(s)
                for _ = 1, random(3) do
                    spawn_in(function(...) return s:spawn(...) end, depth)
                end
                if random(4) == 1 then
                    s:cancel()
                end
                grow(depth - 1)
            end)
        end,
        function(depth)
            local function f() return grow(depth - 1) end
            wait(({ moonloop.gather, moonloop.race, moonloop.any })[random(3)], f, f)
        end,
        function(depth)
            wait(moonloop.map, { 1, 2, 3 }, function() return grow(depth - 1) end,
                { limit = random(2), settle = random(2) == 1, deadline = random(3) / 1000 })
        end,
        function(depth) pcall(grow, depth - 1) end,
        function(depth)
            local step = coroutine.wrap(function()
                grow(depth - 1)
                coroutine.yield()
                grow(depth - 1)
            end)
            step()
            if random(2) == 1 then
                step()
            end
        end,
        function(depth) -- a scope that a coroutine never leaves
            coroutine.wrap(function()
                moonloop.scope(function(s)
                    spawn_in(function(...) return s:spawn(...) end, depth)
                    coroutine.yield()
                end)
            end)()
        end,
        function(depth) pcall(table.sort, { 3, 1, 2 }, function() grow(depth - 1) return false end) end,
    }

    function grow(depth)
        for _ = 1, random(3) do
            local step = steps[random(depth > 0 and #steps or 8)]
            if step ~= steps[2] and step ~= steps[3] or depth > 0 then
                step(depth)
            end
        end
        return depth
    end

    state.run = function()
        local root = moonloop.spawn(function()
            state.tasks[1] = moonloop.spawn(moonloop.sleep, 0)
            grow(4)
        end)
        if random(3) == 1 then
            moonloop.sleep(0)
            root:cancel("the whole tree")
        end
        pcall(root.wait, root)
        for _, t in ipairs(state.tasks) do
            assert(t.state, "a task outlived its tree")
        end
    end
    return state
end

describe("random trees of tasks", function()
    it("leave nothing behind, and end each wait once", function()
        local at = SEED % 2147483647
        local function random(n)
            at = (at * 16807) % 2147483647
            return at % n + 1
        end
        collectgarbage() -- what earlier specs left closes now, not while this one counts
        collectgarbage()
        moonloop.sleep(0.01)
        local before = core.counts()
        for i = 1, TREES do
            local first = at
            local tree = new_tree(random)
            local ok, err = pcall(tree.run)
            local now = core.counts()
            local where = (" (tree %d, TASK_SEED=%d)"):format(i, first)
            assert.is_true(ok, tostring(err) .. where)
            assert.equal(tree.begun, tree.ended, "waits that began and ended" .. where)
            assert.equal(before.tasks, now.tasks, "tasks" .. where)
            assert.equal(before.timers, now.timers, "timers" .. where)
            -- Idle connections of earlier specs may close meanwhile: fewer is well, more never.
            assert.is_true(now.handles <= before.handles, "handles" .. where)
            before.handles = now.handles
        end
    end)

    it("leave no coroutine to the collector", function()
        collectgarbage()
        collectgarbage()
        local alive = 0
        for _ in pairs(core.coroutines()) do
            alive = alive + 1
        end
        local counts = core.counts()
        assert.equal(counts.tasks + counts.spare, alive)
    end)
end)
