--- Topics: what one task publishes reaches whoever subscribes, in every worker of the server.
---
--- A message is copied at once, as bytes; each subscriber gets a copy of its own. The core brings the bytes to the
--- other workers and keeps, for each subscriber, what it has not received yet.

local activity = require("moonloop.activity")
local core = require("moonloop.core.topic")
local errors = require("moonloop.util.errors")
local handle = require("moonloop.util.handle")
local plain = require("moonloop.util.plain")
local serial = require("moonloop.util.serial")
local wait_queue = require("moonloop.core.wait_queue")
local waiting = require("moonloop.sync.waiting")

local decode, encode = serial.decode, serial.encode
local wait = wait_queue.wait

local M = {}

local NAME_BYTES = 255
local QUEUE, QUEUE_MAX = 1000, 1000000
local BYTES, BYTES_MAX = 16 * 1048576, 2 ^ 40
local OPTIONS = { "queue", "bytes", "overflow" }
local OVERFLOWS = { drop_oldest = true, drop_newest = true, close = true }

-- ---- subscriptions ----

---@class moonloop.Subscription
---@field topic string
---@field lost integer how many messages it has not got since it began
---@field length integer how many it holds that have not been received
---@field received integer how many have been
---@field is_closed boolean
---@field private handle userdata
---@field private waiters moonloop.core.WaitQueue
local Subscription = { __name = "moonloop.Subscription" }

local PROPERTIES = {
    length = function(self) return (core.counts(self.handle)) end,
    lost = function(self) return (select(2, core.counts(self.handle))) end,
    received = function(self) return (select(3, core.counts(self.handle))) end,
    is_closed = function(self) return core.state(self.handle) ~= "open" end,
}

function Subscription.__index(self, key)
    local property = PROPERTIES[key]
    if property then
        return property(self)
    end
    return Subscription[key]
end

---@param taken string|table what the core gives
---@return any message
---@return integer lost
local function open(taken)
    if type(taken) == "table" then
        return decode(taken[1]), taken[2]
    end
    return decode(taken), 0
end

local function check_overrun(self)
    if core.state(self.handle) == "overrun" then
        errors.raise("full", "the subscription to %q was closed: it was too slow, its queue was full", self.topic)
    end
end

---The next message, or nothing when it is closed and empty.
local function receive(self)
    local taken = core.take(self.handle)
    if taken == nil and core.state(self.handle) == "open" then
        local ok, value = wait(self.waiters)
        if not ok then
            error(value, 0)
        end
        taken = value
    end
    if taken ~= nil then
        return open(taken)
    end
    check_overrun(self)
end

---Waits for the next message. Raises `closed` when the subscription is closed and empty, `full` when it was closed
---because it was too slow.
---@return any message a copy of its own
---@return integer lost how many messages were lost just before it
function Subscription:recv()
    local message, lost = receive(self)
    if message == nil then
        waiting.raise_closed("subscription to " .. self.topic)
    end
    return message, lost
end

---The next message if there is one now. Raises like `recv`.
---@return any? message
---@return integer? lost
function Subscription:try_recv()
    local taken = core.take(self.handle)
    if taken ~= nil then
        return open(taken)
    elseif core.state(self.handle) ~= "open" then
        check_overrun(self)
        waiting.raise_closed("subscription to " .. self.topic)
    end
end

---`for message, lost in subscription do`: until it is closed and empty.
Subscription.__call = receive

---No more messages come; those that are there can still be received. Harmless the second time.
function Subscription:close()
    core.close(self.handle)
end

-- ---- in a select ----

function Subscription.select_check(_, verb)
    return verb ~= nil and verb ~= "recv" and 'a subscription has "recv"' or nil
end

function Subscription:select_try()
    local taken = core.take(self.handle)
    if taken ~= nil then
        return true, (open(taken))
    end
    check_overrun(self)
    return core.state(self.handle) ~= "open"
end

function Subscription:select_join()
    return self.waiters
end

function Subscription:select_finish(_, _, is_woken, taken)
    if not is_woken then
        return nil
    elseif taken ~= nil then
        return (open(taken))
    end
    check_overrun(self)
end

handle.finish(Subscription, "subscription", function(self)
    return handle.text("subscription to " .. self.topic, ("%d queued"):format(self.length),
        self.lost > 0 and ("%d lost"):format(self.lost), self.is_closed and "closed")
end)

-- ---- topics ----

---@class moonloop.Topic
---@field name string
local Topic = { __name = "moonloop.Topic" }
Topic.__index = Topic

---For transfer.lua: there it is the same topic.
function Topic:__transfer()
    return "moonloop.topic", "topic", self.name
end

---Sends a message to all who subscribe now, in every worker, without waiting for any of them. It is copied: numbers,
---strings, booleans and tables of them (without their metatables). What one task publishes arrives everywhere in the
---order of publishing. Raises `too_large` above a million bytes.
---@param message any but nil
function Topic:publish(message)
    if message == nil then
        error("publish: nil cannot be published, as it would end whoever iterates; publish false or a table", 2)
    end
    local ok, bytes = pcall(encode, message)
    if not ok then
        error("publish: " .. plain.explain(message, "message", bytes), 2)
    end
    core.publish(self.name, bytes)
end

local function list()
    local rows = {}
    for _, each in ipairs(core.list()) do
        rows[#rows + 1] = {
            kind = "topic", name = each.topic, state = each.waiting > 0 and "waiting" or "busy", runs = each.received,
            detail = ("%d of %d queued, %d lost"):format(each.queued, each.limit, each.lost),
        }
    end
    return rows
end

---Gets every message that is published from now on, until it is closed or the scope (the request, the task) that
---subscribed ends. What is not received waits in a queue of `queue` messages (1000) and `bytes` bytes (16 MB). When
---that is full, `overflow` says what goes: "drop_oldest" (the default), "drop_newest", or "close": the subscription
---ends, and `recv` raises `full` once it is empty. Raises `misuse` outside of a task and on an offload thread.
---@param options? { queue?: integer, bytes?: integer, overflow?: "drop_oldest"|"drop_newest"|"close" }
---@return moonloop.Subscription subscription iterates: `for message, lost in topic:subscribe() do`
function Topic:subscribe(options)
    options = waiting.options("subscribe", options, OPTIONS)
    local limit = waiting.integer("subscribe: queue", options.queue or QUEUE, 1, QUEUE_MAX)
    local bytes = waiting.integer("subscribe: bytes", options.bytes or BYTES, 1, BYTES_MAX)
    local overflow = options.overflow or "drop_oldest"
    if not OVERFLOWS[overflow] then
        error(('subscribe: overflow: expected "drop_oldest", "drop_newest" or "close", got %s'):format(
            type(overflow) == "string" and ("%q"):format(overflow) or tostring(overflow)), 2)
    end
    local waiters = waiting.queue("subscription to " .. self.name, waiting.QUEUE)
    local handle = core.subscribe(self.name, waiters, limit, bytes, overflow)
    activity.register("topic", list)
    return setmetatable({ topic = self.name, handle = handle, waiters = waiters }, Subscription)
end

---The topic of that name, which is the same in all apps and workers of the server. Costs nothing to ask for.
---@param name string 1 to 255 bytes
---@return moonloop.Topic
function M.topic(name)
    if type(name) ~= "string" or #name < 1 or #name > NAME_BYTES then
        error(("topic: expected a name of 1 to %d bytes, got %s"):format(NAME_BYTES,
            type(name) == "string" and #name .. " bytes" or tostring(name)), 2)
    end
    return setmetatable({ name = name }, Topic)
end

handle.finish(Topic, "topic", function(self)
    return "topic " .. self.name
end)

return M
