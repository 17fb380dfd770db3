--- Random trees of tasks for property specs: spawns, scopes, deadlines, cancellations, shields, races, failures, and
--- waits in channels, mutexes, semaphores and events, from plain functions and from coroutines of a user's own.

local moonloop = require("moonloop")

local M = {}

---@class spec.TaskTree
---@field begun integer waits that were begun
---@field ended integer how often one ended: exactly as often
---@field tasks moonloop.Task[] all that were ever spawned in it
---@field threads table<thread, true> weak: every coroutine in which it ran
---@field private random fun(n: integer): integer

--- What a step may do: function(tree, grow, depth). The first eight make no deeper tree.
local STEPS = {}

local function wait(tree, fn, ...)
    tree.begun = tree.begun + 1
    local results = { pcall(fn, ...) }
    tree.ended = tree.ended + 1
    if not results[1] then
        error(results[2], 0)
    end
end

local function spawn_in(tree, spawn, grow, depth)
    local t = spawn(grow, depth - 1)
    t.is_seen = true -- or the log would tell of each
    tree.tasks[#tree.tasks + 1] = t
    return t
end

local function any_task(tree)
    return tree.tasks[tree.random(#tree.tasks)]
end

---@type function[]
STEPS.shallow = {
    function(tree) wait(tree, moonloop.sleep, tree.random(3) == 1 and 0.001 or 0) end,
    function(tree) wait(tree, moonloop.sleep, tree.random(5)) end,
    function() error("random failure", 0) end,
    function() error({ code = "table" }) end,
    function() error(nil) end,
    function(tree) any_task(tree):cancel("random") end,
    function(tree) local t = any_task(tree) wait(tree, t.wait, t) end,
    function(tree) wait(tree, tree.channel.recv, tree.channel) end,
    function(tree) wait(tree, tree.channel.send, tree.channel, 1) end,
    function(tree) pcall(tree.channel.try_send, tree.channel, 1) end,
    function(tree) tree.event:set() end,
    function(tree) tree.event:clear() end,
    function(tree) wait(tree, tree.event.wait, tree.event) end,
}

---@type function[]
STEPS.deep = {
    function(tree, grow, depth) local t = spawn_in(tree, moonloop.spawn, grow, depth) wait(tree, t.wait, t) end,
    function(tree, grow, depth) spawn_in(tree, moonloop.spawn, grow, depth) end,
    function(tree, grow, depth) wait(tree, moonloop.timeout, tree.random(3) / 1000, grow, depth - 1) end,
    function(tree, grow, depth) wait(tree, moonloop.shield, grow, depth - 1) end,
    function(tree, grow, depth)
        local deadline = tree.random(2) == 1 and tree.random(4) / 1000 or nil
        wait(tree, moonloop.scope, { deadline = deadline }, function(scope)
            for _ = 1, tree.random(3) do
                spawn_in(tree, function(...) return scope:spawn(...) end, grow, depth)
            end
            if tree.random(4) == 1 then
                scope:cancel()
            end
            grow(depth - 1)
        end)
    end,
    function(tree, grow, depth)
        local function f() return grow(depth - 1) end
        wait(tree, ({ moonloop.gather, moonloop.race, moonloop.any })[tree.random(3)], f, f)
    end,
    function(tree, grow, depth)
        wait(tree, moonloop.map, { 1, 2, 3 }, function() return grow(depth - 1) end,
            { limit = tree.random(2), settle = tree.random(2) == 1, deadline = tree.random(3) / 1000 })
    end,
    function(_, grow, depth) pcall(grow, depth - 1) end,
    function(tree, grow, depth) -- a coroutine that may stay where it is
        local step = coroutine.wrap(function()
            tree.threads[coroutine.running()] = true
            grow(depth - 1)
            coroutine.yield()
            grow(depth - 1)
        end)
        step()
        if tree.random(2) == 1 then
            step()
        end
    end,
    function(tree, grow, depth) -- a scope that a coroutine never leaves
        coroutine.wrap(function()
            tree.threads[coroutine.running()] = true
            moonloop.scope(function(scope)
                spawn_in(tree, function(...) return scope:spawn(...) end, grow, depth)
                coroutine.yield()
            end)
        end)()
    end,
    function(_, grow, depth) pcall(table.sort, { 3, 1, 2 }, function() grow(depth - 1) return false end) end,
    function(tree, grow, depth) -- clean-up that itself grows, and may fail
        local ok, err = pcall(grow, depth - 1)
        moonloop.shield(grow, depth - 1)
        if not ok then
            error(err, 0)
        end
        tree.event:set()
    end,
    function(tree, grow, depth) wait(tree, tree.mutex.with, tree.mutex, grow, depth - 1) end,
    function(tree, grow, depth) wait(tree, tree.semaphore.with, tree.semaphore, grow, depth - 1) end,
}

---@param random fun(n: integer): integer 1..n
---@return spec.TaskTree
function M.new(random)
    local tree = {
        begun = 0, ended = 0, tasks = {}, threads = setmetatable({}, { __mode = "k" }), random = random,
        channel = moonloop.channel(random(2) - 1), event = moonloop.event(), mutex = moonloop.mutex(),
        semaphore = moonloop.semaphore(2),
    }
    local function grow(depth)
        tree.threads[coroutine.running()] = true
        for _ = 1, random(3) do
            local number = random(depth > 0 and #STEPS.shallow + #STEPS.deep or #STEPS.shallow)
            local step = STEPS.shallow[number] or STEPS.deep[number - #STEPS.shallow]
            step(tree, grow, depth)
        end
        return depth
    end
    tree.grow = grow
    return tree
end

---Grows it to its end, which comes in a minute at the latest.
---@param tree spec.TaskTree
function M.run(tree)
    local root = moonloop.spawn(function()
        tree.tasks[1] = moonloop.spawn(moonloop.sleep, 0)
        moonloop.timeout(60, tree.grow, 4)
    end)
    if tree.random(3) == 1 then
        moonloop.sleep(0)
        root:cancel("the whole tree")
    end
    -- What is shielded and waits for ever has to be let go from outside.
    local release = moonloop.spawn(function()
        moonloop.sleep(100)
        tree.event:close()
        tree.channel:close()
        tree.mutex:close()
        tree.semaphore:close()
        while true do
            moonloop.sleep(100)
            for _, t in ipairs(tree.tasks) do
                t:cancel("too long")
            end
        end
    end)
    pcall(root.wait, root)
    release:cancel()
    pcall(release.wait, release)
    for _, t in ipairs(tree.tasks) do
        assert(t.state, "a task outlived its tree")
    end
end

return M
