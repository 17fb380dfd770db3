--- Bodies that come in pieces. A source is opened for each time that the body is sent; whether that can be more than
--- once is its own affair.

local errors = require("moonloop.util.errors")

local M = {}

---@class moonloop.http.Source
---@field open fun(self: moonloop.http.Source): (fun(): string?), integer?, fun()? iterator, length when it is known,
---  and what closes it, which may be called twice
---@field content_type? string
---@field filename? string
---@field length? integer
local Source = { __name = "moonloop.http.Source", __transfer = false, __jsontype = "none" }
Source.__index = Source

---Whether it can be sent, for the first time or again.
---@return boolean
function Source:can_reopen()
    return not self.is_begun
end

---How long it is, before it is opened; may wait.
---@return integer? bytes nil: nobody knows
function Source:measure()
    return self.length
end

---@param source table with `open`, and methods of its own
---@return moonloop.http.Source
function M.new(source)
    return setmetatable(source, Source)
end

---@param value any
---@return boolean
function M.is(value)
    return type(value) == "table" and getmetatable(value) == Source
end

---Whether it can be called, so that it may be an iterator.
---@param value any
---@return boolean
function M.is_callable(value)
    local meta = type(value) == "table" and getmetatable(value)
    return type(value) == "function" or type(meta) == "table" and type(rawget(meta, "__call")) == "function"
end

local function open_once(self)
    if self.is_begun then
        errors.raise("body", "the body of this request comes from an iterator that has begun, and cannot be sent again")
    end
    local next_piece = self.next_piece
    return function()
        self.is_begun = true
        return (next_piece())
    end, self.length
end

---A source that an iterator is: it can be sent once.
---@param next_piece fun(): string?
---@param length? integer
---@return moonloop.http.Source
function M.once(next_piece, length)
    return M.new({ open = open_once, next_piece = next_piece, length = length })
end

local function open_again(self)
    local next_piece = self.make()
    if not M.is_callable(next_piece) then
        error(("http.rewindable: the function gave a %s; expected an iterator"):format(type(next_piece)), 0)
    end
    return next_piece, self.length
end

---A source that can be sent several times: `make` gives a new iterator each time.
---@param make fun(): fun(): string?
---@param length? integer
---@return moonloop.http.Source
function M.rewindable(make, length)
    return M.new({ open = open_again, make = make, length = length })
end

local SLICE_BYTES = 64 * 1024

local function open_text(self)
    local text, at = self.text, 1
    return function()
        if at > #text then
            return nil
        end
        at = at + SLICE_BYTES
        return text:sub(at - SLICE_BYTES, at - 1)
    end, #text
end

---A source over bytes at hand, for whom wants to see them go.
---@param text string
---@return moonloop.http.Source
function M.text(text)
    return M.new({ open = open_text, text = text, length = #text })
end

return M
