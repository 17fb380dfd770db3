--- Channels: values from task to task, in the order of sending; first come, first served on both sides.
---
--- A value goes straight to a task that waits for one, else into the buffer, else its sender waits. What senders
--- offer while they wait stands in `offers`, under the tag by which they wait in their queue.

local core = require("moonloop.core.wait_queue")
local waiting = require("moonloop.sync.waiting")

local wait, wake = core.wait, core.wake

---@class moonloop.Channel
---@field capacity integer how many values it holds while nobody receives
---@field length integer how many it holds now, at most `capacity`
---@field is_closed boolean
---@field waiting integer how many tasks wait in it, to send or to receive
---@field receiving integer those that wait to receive
---@field sending integer those that wait to send
---@field private name string
---@field private receivers moonloop.core.WaitQueue
---@field private senders moonloop.core.WaitQueue
---@field private offers table
local Channel = { __name = "moonloop.Channel" }

local COUNTS = {
    waiting = function(self) return self.receivers_view.length + self.senders_view.length end,
    receiving = function(self) return self.receivers_view.length end,
    sending = function(self) return self.senders_view.length end,
}

function Channel.__index(self, key)
    local value = Channel[key]
    if value ~= nil then
        return value
    end
    local count = COUNTS[key]
    return count and count(self)
end

local M = {}

local OPTIONS = { "name", "queue" }

---A channel that holds up to `capacity` values; with 0, the default, a value changes hands only while both sides are
---there. At most `queue` tasks (10000) wait on either side: one more gets `full`.
---@param capacity? integer 0 to 2147483647
---@param options? { name?: string, queue?: integer }
---@return moonloop.Channel
function M.channel(capacity, options)
    capacity = waiting.integer("channel: capacity", capacity == nil and 0 or capacity, 0, waiting.MAX)
    local name, limit = waiting.common("channel", waiting.options("channel", options, OPTIONS))
    local receivers, receivers_view = waiting.queue(name .. " (to receive)", limit)
    local senders, senders_view = waiting.queue(name .. " (to send)", limit)
    local self = setmetatable({
        capacity = capacity, length = 0, is_closed = false, name = name,
        receivers = receivers, receivers_view = receivers_view, senders = senders, senders_view = senders_view,
        items = {}, head = 0, -- a ring: the oldest value is at items[head]
        offers = {}, spare_tags = {}, nspare = 0, ntags = 0,
    }, Channel)
    return waiting.shown(self, "channel", options)
end

---For `moonloop ps`.
---@return string? what it holds
function Channel:detail()
    if self.length > 0 then
        return ("%d of %d values"):format(self.length, self.capacity)
    end
end

-- ---- the buffer ----

local function push(self, value)
    local length, at = self.length, self.head + self.length
    if at >= self.capacity then
        at = at - self.capacity
    end
    self.items[at] = value
    self.length = length + 1
end

local function pop(self)
    local head = self.head
    local value = self.items[head]
    self.items[head] = nil
    self.length = self.length - 1
    head = head + 1
    self.head = head < self.capacity and head or 0
    return value
end

-- ---- offers of waiting senders ----

---@return integer tag
function Channel:offer(value)
    local nspare = self.nspare
    local tag = self.spare_tags[nspare]
    if tag then
        self.nspare = nspare - 1
    else
        tag = self.ntags + 1
        self.ntags = tag
    end
    self.offers[tag] = value
    return tag
end

---@return any value
function Channel:take_back(tag)
    local value, nspare = self.offers[tag], self.nspare + 1
    self.offers[tag] = nil
    self.spare_tags[nspare] = tag
    self.nspare = nspare
    return value
end

---The value of the first sender that waits, which is woken.
local function take_offer(self)
    return self:take_back(wake(self.senders, true))
end

-- ---- without waiting ----

---A value, or nil when none is there.
local function receive_now(self)
    if self.length > 0 then
        local value = pop(self)
        if self.senders_view.length > 0 then
            push(self, take_offer(self))
        end
        return value
    elseif self.senders_view.length > 0 then
        return take_offer(self)
    end
end

---Whether the value has found a place.
local function send_now(self, value)
    if self.receivers_view.length > 0 then
        wake(self.receivers, value)
        return true
    elseif self.length < self.capacity then
        push(self, value)
        return true
    end
    return false
end

local function check_value(what, value)
    if value == nil then
        error(what .. ": nil cannot be sent, as it would end whoever iterates; send false or a table", 3)
    end
end

---Sends when a receiver waits or the buffer has a place. Raises `closed` on a closed channel.
---@param value any but nil
---@return boolean is_sent
function Channel:try_send(value)
    check_value("try_send", value)
    if self.is_closed then
        waiting.raise_closed(self.name)
    end
    return send_now(self, value)
end

---Receives when there is something to receive. Raises `closed` on a closed channel that is empty.
---@return any value nil when there is none now
function Channel:try_recv()
    local value = receive_now(self)
    if value == nil and self.is_closed then
        waiting.raise_closed(self.name)
    end
    return value
end

-- ---- waiting ----

---Waits until a receiver takes the value or the buffer has a place for it. Raises `closed` when the channel is or gets
---closed, `full` when too many wait to send; the value has not been sent then.
---@param value any but nil
function Channel:send(value)
    check_value("send", value)
    if self.is_closed then
        waiting.raise_closed(self.name)
    elseif send_now(self, value) then
        return
    end
    local tag = self:offer(value)
    local ok, is_taken = wait(self.senders, tag)
    if not ok then
        self:take_back(tag)
        error(is_taken, 0)
    elseif not is_taken then
        self:take_back(tag)
        waiting.raise_closed(self.name)
    end
end

local function receive(self)
    local value = receive_now(self)
    if value ~= nil or self.is_closed then
        return value
    end
    local ok
    ok, value = wait(self.receivers)
    if not ok then
        error(value, 0)
    end
    return value
end

---Waits for the next value. Raises `closed` when the channel is closed and empty, `full` when too many wait to receive.
---@return any value
function Channel:recv()
    local value = receive(self)
    if value == nil then
        waiting.raise_closed(self.name)
    end
    return value
end

---`for value in channel do`: until it is closed and empty.
Channel.__call = receive

---No more is sent: tasks that wait to send get `closed`. What the channel holds can still be received. Raises `misuse`
---the second time.
function Channel:close()
    waiting.close_once(self, self.name)
    core.wake_all(self.receivers)
    core.wake_all(self.senders)
end

-- ---- in a select ----

---@param verb string? "recv", the default, or "send"
---@return string? problem
function Channel:select_check(verb, value)
    if verb == "send" then
        return value == nil and "nil cannot be sent" or nil
    end
    return verb ~= nil and verb ~= "recv" and 'a channel has "recv" and "send"' or nil
end

---@return boolean is_ready
---@return any value
function Channel:select_try(verb, value)
    if verb == "send" then
        if self.is_closed then
            waiting.raise_closed(self.name)
        end
        return send_now(self, value)
    end
    local received = receive_now(self)
    return received ~= nil or self.is_closed, received
end

---@return moonloop.core.WaitQueue
---@return integer? tag
function Channel:select_join(verb, value)
    if verb == "send" then
        return self.senders, self:offer(value)
    end
    return self.receivers
end

---What the case gives, when it was the one that was woken.
function Channel:select_finish(verb, tag, is_woken, value)
    if verb ~= "send" then
        return value
    end
    if not (is_woken and value) then
        self:take_back(tag)
    end
    if is_woken and not value then
        waiting.raise_closed(self.name)
    end
    return nil
end

waiting.finish(Channel, "channel")

return M
