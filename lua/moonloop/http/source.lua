--- Bodies that come in pieces. A source is opened for each time that the body is sent; whether that can be more than
--- once is its own affair.

local errors = require("moonloop.util.errors")

local M = {}

---@class moonloop.http.Source
---@field can_reopen boolean whether it can be sent again, now
---@field open fun(self: moonloop.http.Source): (fun(): string?), integer?, fun()? iterator, length when it is known,
---  and what closes it, which may be called twice
local Source = { __name = "moonloop.http.Source" }
Source.__index = Source

---@param source table with `open` and `can_reopen`
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
        self.is_begun, self.can_reopen = true, false
        return (next_piece())
    end, self.length
end

---A source that an iterator is: it can be sent once.
---@param next_piece fun(): string?
---@param length? integer
---@return moonloop.http.Source
function M.once(next_piece, length)
    return M.new({ open = open_once, next_piece = next_piece, length = length, can_reopen = true })
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
    return M.new({ open = open_again, make = make, length = length, can_reopen = true })
end

return M
