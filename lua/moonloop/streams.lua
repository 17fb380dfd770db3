--- WebSockets and event streams of this VM that are open, and how they are told to go: after a reload, when the worker
--- stops. They stay until the grace is over, see `draining`, then are closed.

local errors = require("moonloop.util.errors")
local log = require("moonloop.log")
local now = require("moonloop.clock").now
local task = require("moonloop.task")

local M = {}

---@class moonloop.Stream what is kept here
---@field draining boolean
---@field drain_callbacks? function[]
---@field drain_tasks? moonloop.Task[]
---@field is_drained? boolean it was told to go for good
---@field drain_timeout number seconds
---@field finish_draining fun(self: moonloop.Stream, code: integer)

---@type table<moonloop.Stream, true>
local open = {}
local count = 0

---@type { code: integer, most: number, began: number }? since when, and how
local drain
local sleeper -- of the task that drains, while it waits

local function wake()
    if sleeper then
        sleeper:cancel()
    end
end

---One that was told to go may well fail to send: nobody has to read of it.
local function is_quiet(err)
    return errors.is(err, "closed") or errors.is(err, "cancelled")
end

local function call(callback, stream)
    local ok, err = xpcall(callback, errors.traced, stream)
    if not ok and not is_quiet(err) then
        log.error("on_draining failed: " .. errors.message(err), { traceback = errors.trace(err) })
    end
end

---They belong to the stream, and end with it.
local function start(callback, stream)
    stream.drain_tasks = stream.drain_tasks or {}
    table.insert(stream.drain_tasks, task.spawn_detached(call, callback, stream))
end

local function begin(stream)
    stream.draining = true
    for _, callback in ipairs(stream.drain_callbacks or {}) do
        start(callback, stream)
    end
end

local function due_of(stream)
    return drain.began + math.min(stream.drain_timeout, drain.most)
end

local function finish(stream)
    if open[stream] and not stream.is_drained then
        stream.is_drained = true
        stream:finish_draining(drain.code)
    end
end

---A new one. One that comes to a VM which drains already is told at once.
---@param stream moonloop.Stream
function M.add(stream)
    open[stream] = true
    count = count + 1
    if drain then
        begin(stream)
        task.spawn(function()
            task.sleep(math.max(0, due_of(stream) - now()))
            finish(stream)
        end)
    end
end

---@param stream moonloop.Stream
function M.remove(stream)
    if open[stream] then
        open[stream] = nil
        count = count - 1
        for _, each in ipairs(stream.drain_tasks or {}) do
            each:cancel("its stream has ended")
        end
        if count == 0 then
            wake()
        end
    end
end

---Calls `callback(stream)` as a task of its own when the stream is told to go; at once when it was.
---@param stream moonloop.Stream
---@param callback fun(stream: moonloop.Stream)
function M.on_draining(stream, callback)
    if type(callback) ~= "function" then
        error("on_draining: expected a function, got a " .. type(callback), 3)
    elseif stream.draining then
        start(callback, stream)
        return
    end
    stream.drain_callbacks = stream.drain_callbacks or {}
    table.insert(stream.drain_callbacks, callback)
end

local function list()
    local streams = {}
    for stream in pairs(open) do
        streams[#streams + 1] = stream
    end
    return streams
end

---Ends those whose grace is over; when the next one's is, nil when all were told.
local function finish_due()
    local soonest
    for _, stream in ipairs(list()) do
        local due = due_of(stream)
        if due <= now() then
            finish(stream)
        elseif not stream.is_drained then
            soonest = math.min(soonest or due, due)
        end
    end
    return soonest
end

---For lives.lua, as a task: all are told to go, and closed when their grace is over. Again: the later call rules.
---@param code integer close code for WebSockets
---@param most number seconds of grace at most
function M.drain(code, most)
    local mine = { code = code, most = most, began = now() }
    drain = mine
    wake()
    for _, stream in ipairs(list()) do
        if not stream.draining then
            begin(stream)
        end
    end
    task.sleep(0) -- what they say comes before the end, however short the grace
    while count > 0 and drain == mine do
        local soonest = finish_due()
        if not soonest then
            break
        end
        local own = task.spawn(task.sleep, math.max(0, soonest - now()))
        sleeper = own
        errors.try(own.wait, own)
        sleeper = sleeper ~= own and sleeper or nil -- a later call has its own
    end
end

---@return fun(): moonloop.Stream? those that are open
function M.each()
    return pairs(open)
end

return M
