--- select: waits for the first of several things: a value, room for one, an event, the end of a task.
---
--- What can be a case has four methods: `select_check(verb, value)` gives what is wrong with it or nil;
--- `select_try(verb, value)` does it when that is possible now; `select_join(verb, value)` gives the queue to wait in
--- and a tag; `select_finish(verb, tag, is_woken, value)` clears up and gives the result of the one that was woken.

local chance = require("moonloop.sync.chance")
local core = require("moonloop.core.wait_queue")

local M = {}

local MAX_CASES = 125

---@class moonloop.select.Case
---@field key any the name by which the caller knows it
---@field object any
---@field verb string?
---@field value any
---@field tag integer?

-- ---- tasks as cases ----

--- Stands in for the methods that tasks do not have.
local task_case = {}

function task_case.select_check(_, verb)
    return verb ~= nil and verb ~= "wait" and 'a task has "wait"' or nil
end

function task_case.select_try(task)
    if task.state then
        return true, task:wait()
    end
    return false
end

function task_case.select_join(task)
    return task
end

function task_case.select_finish(task, _, _, is_woken)
    if is_woken then
        return task:wait()
    end
end

local function methods_of(object)
    local meta = type(object) == "table" and getmetatable(object)
    if type(meta) ~= "table" then
        return nil
    elseif meta.__name == "moonloop.Task" then
        return task_case
    end
    return meta.select_try and meta
end

-- ---- the table of cases ----

local function describe(key)
    return type(key) == "string" and key or "[" .. tostring(key) .. "]"
end

local function read_case(key, entry, level)
    local object, verb, value = entry, nil, nil
    local methods = methods_of(entry)
    if not methods and type(entry) == "table" then
        object, verb, value = entry[1], entry[2], entry[3]
        methods = methods_of(object)
    end
    if not methods then
        error(("select: case %s: expected a channel, an event, a semaphore, a task or { object, verb, value }, got %s")
            :format(describe(key), tostring(object)), level + 1)
    end
    local problem = methods.select_check(object, verb, value)
    if problem then
        error(("select: case %s: %s"):format(describe(key), problem), level + 1)
    end
    return { key = key, object = object, methods = methods, verb = verb, value = value }
end

---@return moonloop.select.Case[] cases
---@return number? timeout
---@return boolean has_default
local function read_cases(cases, level)
    if type(cases) ~= "table" or getmetatable(cases) then
        error("select: expected a table of cases, got " .. tostring(cases), level + 1)
    end
    local list, count = {}, 0
    local timeout, default = rawget(cases, "timeout"), rawget(cases, "default")
    for key, entry in pairs(cases) do
        if key ~= "timeout" and key ~= "default" then
            count = count + 1
            list[count] = read_case(key, entry, level + 1)
        end
    end
    if timeout ~= nil and (type(timeout) ~= "number" or not (timeout >= 0 and timeout <= 31622400)) then
        error("select: timeout: expected 0 to 31622400 seconds, got " .. tostring(timeout), level + 1)
    elseif default ~= nil and type(default) ~= "boolean" then
        error("select: default: expected true, got " .. tostring(default), level + 1)
    elseif count > MAX_CASES then
        error(("select: %d cases; at most %d"):format(count, MAX_CASES), level + 1)
    elseif count == 0 and not timeout and not default then
        error("select: there is no case to wait for", level + 1)
    end
    return list, timeout, default
end

-- ---- now, or later ----

---The key and value of one that is ready; all that are have the same chance, as the cases are tried in a random order.
local function try_now(list)
    local count = #list
    for i = count, 1, -1 do
        local j = chance.draw(i)
        list[i], list[j] = list[j], list[i]
        local case = list[i]
        local is_ready, value = case.methods.select_try(case.object, case.verb, case.value)
        if is_ready then
            return case, value
        end
    end
end

local function finish(list, woken, value)
    for _, case in ipairs(list) do
        if case ~= woken then
            case.methods.select_finish(case.object, case.verb, case.tag, false)
        end
    end
    if woken then
        return woken.key, (woken.methods.select_finish(woken.object, woken.verb, woken.tag, true, value))
    end
end

local function after_wait(list, ok, number, value)
    if ok then
        return finish(list, list[number], value)
    end
    finish(list)
    if number == nil then
        return "timeout"
    end
    error(number, 0)
end

local function wait(list, timeout)
    local only = list[1]
    if #list == 1 and not timeout and only.methods == task_case then
        return only.key, (only.object:wait()) -- finds rings of waits
    end
    local arguments = {}
    for i, case in ipairs(list) do
        arguments[2 * i - 1], case.tag = case.methods.select_join(case.object, case.verb, case.value)
        arguments[2 * i] = case.tag or 0
    end
    return after_wait(list, core.wait_several(timeout, unpack(arguments, 1, 2 * #list)))
end

---Waits for the first of several cases: `select{ job = jobs, stop = event, [out] = { out, "send", 1 } }`. A case is a
---channel (to receive), `{ channel, "send", value }`, an event, a semaphore (to acquire), or a task (to wait for).
---Exactly one is done, and its key comes back with its value: a channel that is closed and empty gives nil, a task its
---first result. Of several that are ready each has the same chance; while none is, they wait in the queues of all.
---`timeout = seconds` gives "timeout" when none was ready in time, `default = true` gives "default" when none is now.
---Raises `closed` for sending on a closed channel or a closed event, what a task raised, `full`.
---@param cases table at most 125, and `timeout` and `default`
---@return any key
---@return any value
function M.select(cases)
    local list, timeout, has_default = read_cases(cases, 2)
    local ready, value = try_now(list)
    if ready then
        return ready.key, value
    elseif has_default then
        return "default"
    end
    return wait(list, timeout)
end

return M
