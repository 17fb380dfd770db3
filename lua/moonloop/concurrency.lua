--- Several functions at once: gather, map, race, any. Each is a scope, so nothing that it started is left
--- when it returns or raises, and a deadline or a cancellation from outside reaches all of it.

local errors = require("moonloop.util.errors")
local task = require("moonloop.task")

local new_table = require("table.new")
local spawn_seen = task.spawn_seen

local M = {}

local function check_functions(what, ...)
    for i = 1, select("#", ...) do
        local fn = select(i, ...)
        if type(fn) ~= "function" then
            local hint = getmetatable(fn) and type(fn) == "table" and fn.wait and "; for a task, give its wait: "
                .. "function() return t:wait() end" or type(fn) == "table" and "; for a list use moonloop.map" or ""
            error(("%s: expected functions, argument %d is a %s%s"):format(what, i, type(fn), hint), 3)
        end
    end
    return { ... }, select("#", ...)
end

local function raise_if(err)
    if err ~= nil then
        error(err, 0)
    end
end

local function spawn_functions(scope, tasks, fns, count)
    for i = 1, count do
        tasks[i] = spawn_seen(scope, fns[i])
    end
end

---Runs all at once and waits for all. The first failure cancels the rest and is raised.
---@param ... fun(): any
---@return any ... the first value of each, in order; nil where there is none
function M.gather(...)
    local fns, count = check_functions("gather", ...)
    local tasks, values = new_table(count, 0), new_table(count, 0)
    local _, err = task.enclose_tasks(nil, true, spawn_functions, tasks, fns, count)
    raise_if(err)
    for i = 1, count do
        local each = tasks[i]
        if rawget(each, "state") then
            error(each.err, 0)
        end
        values[i] = each[1]
    end
    return unpack(values, 1, count)
end

---Starts a task for each entry.
local function spawn_entries(scope, tasks, list, fn)
    local i = 1
    local item = list[1]
    while item ~= nil do
        tasks[i] = spawn_seen(scope, fn, item, i)
        i = i + 1
        item = list[i]
    end
end

---Starts a task per entry, at most `limit` at a time: as many tasks take the next entry when theirs has ended.
local function spawn_in_turn(scope, tasks, list, fn, limit, is_settled)
    local last = 0
    local function start_next()
        local item = list[last + 1]
        if item == nil then
            return nil
        end
        last = last + 1
        tasks[last] = task.spawn(fn, item, last)
        tasks[last].is_seen = true -- its failure is a result of the map
        return tasks[last]
    end
    local function take_turns()
        for current in start_next do
            if is_settled then
                pcall(current.wait, current)
                if not current.state then
                    return -- the wait was cut short: by the deadline, or from outside
                end
            else
                current:wait()
            end
        end
    end
    for i = 1, limit do
        if list[i] == nil then
            return
        end
        spawn_seen(scope, take_turns) -- whatever ends one ends the scope
    end
end

local function outcome(entry, reason)
    if not entry then
        return { ok = false, err = reason }
    elseif entry.state == "done" then
        return { ok = true, value = entry[1] }
    end
    return { ok = false, err = entry.err }
end

local NO_OPTIONS = {}
local MAP_OPTIONS = { limit = true, deadline = true, settle = true }

local function check_map(list, fn, options)
    if type(list) ~= "table" or type(fn) ~= "function" then
        error(("map: expected a list and a function, got %s and %s"):format(type(list), type(fn)), 3)
    elseif list[1] == nil and next(list) ~= nil then
        error("map: expected a list; this table has no entry 1, but others", 3)
    elseif type(options) ~= "table" then
        error("map: expected a table of options, got a " .. type(options), 3)
    end
    for name in pairs(options) do
        if not MAP_OPTIONS[name] then
            error(require("moonloop.options").unknown("map", name, MAP_OPTIONS), 3)
        end
    end
    local limit = options.limit
    if limit ~= nil and (type(limit) ~= "number" or not (limit >= 1)) then
        error(("map: limit: expected a number of 1 or more, got %s"):format(
            type(limit) == "string" and ("%q"):format(limit) or tostring(limit)), 3)
    end
end

---@class moonloop.MapOptions
---@field limit? integer how many run at once
---@field deadline? number seconds, for all of it
---@field settle? boolean failures are results, too

---Runs `fn(item, index)` for each entry of a list, all at once or `limit` at a time, and waits for all. An entry
---is read when its turn comes. The first failure cancels the rest and is raised; `timeout` at the deadline.
---With `settle` neither is raised: each result is `{ ok = true, value = … }` or `{ ok = false, err = … }`, and
---what ended before the deadline is kept.
---@generic T
---@param list T[]
---@param fn fun(item: T, index: integer): any
---@param options? moonloop.MapOptions
---@return any[] results the first value of each, in order; nil where there is none
function M.map(list, fn, options)
    options = options or NO_OPTIONS
    check_map(list, fn, options)
    local tasks, results = new_table(#list, 0), new_table(#list, 0)
    local is_settled = options.settle or false
    local spawn = options.limit and spawn_in_turn or spawn_entries
    local ok, err = task.enclose_tasks(options.deadline, not is_settled, spawn, tasks, list, fn, options.limit,
        is_settled)
    if is_settled and ok then
        local count = math.max(#tasks, #list)
        for i = 1, count do
            results[i] = outcome(tasks[i], err or errors.new("cancelled", "the map was cancelled"))
        end
        return results
    end
    raise_if(err)
    for i = 1, #tasks do
        local each = tasks[i]
        if rawget(each, "state") then
            error(each.err, 0)
        end
        results[i] = each[1]
    end
    return results
end

---Runs all until one has succeeded.
---@return table? winner { value, index }
---@return moonloop.Task[] tasks
---@return any err
local function first_success(fns, count, fails_fast)
    local winner
    local tasks = {}
    local _, err = task.enclose(nil, fails_fast, false, function(scope)
        local function run(i)
            local value = fns[i]()
            if not winner then
                winner = { value = value, index = i }
                scope:cancel("another one was first")
            end
        end
        for i = 1, count do
            tasks[i] = scope:spawn(run, i)
        end
    end)
    return winner, tasks, err
end

---Runs all at once; the first to end decides and the others are cancelled. Raises what it raised when the first to
---end failed.
---@param ... fun(): any one or more
---@return any winner its first value
---@return integer index which one it was
function M.race(...)
    local fns, count = check_functions("race", ...)
    if count == 0 then
        error("race: expected at least one function", 2)
    end
    local winner, tasks, err = first_success(fns, count, true)
    if winner then
        return winner.value, winner.index
    end
    raise_if(err)
    error(tasks[1].err, 0)
end

---Runs all at once; the first to succeed decides and the others are cancelled. Raises `failed`, with the list
---`errors` in the order of the functions, when none does.
---@param ... fun(): any one or more
---@return any first its first value
---@return integer index which one it was
function M.any(...)
    local fns, count = check_functions("any", ...)
    if count == 0 then
        error("any: expected at least one function", 2)
    end
    local winner, tasks, err = first_success(fns, count, false)
    if winner then
        return winner.value, winner.index
    end
    raise_if(err)
    local failures = {}
    for i = 1, count do
        if tasks[i].state == "cancelled" then
            error(tasks[i].err, 0) -- from outside: not a failure of this one
        end
        failures[i] = tasks[i].err
    end
    error(errors.new("failed", ("all %d failed; the first: %s"):format(count, errors.message(failures[1])),
        { errors = failures }), 0)
end

return M
