--- What the harnesses of core/fuzz/lua have in common: claims, inputs taken apart, and time.

local is_watched, watch = pcall(require, "fuzz.coverage") -- host.c has it: a function that turns its hook on and off

local M = {}

-- Code that has a hook of its own for a while leaves none behind.
if is_watched then
    local set = debug.sethook
    debug.sethook = function(...) -- luacheck: ignore
        set(...)
        if select("#", ...) == 0 then
            watch(true)
        end
    end
end

---Raises unless it holds; the rest says what was seen.
---@param holds any
---@param what string
---@param ... any values, which are shown quoted
function M.claim(holds, what, ...)
    if holds then
        return
    end
    local parts = { what }
    for i = 1, select("#", ...) do
        local value = select(i, ...)
        parts[#parts + 1] = type(value) == "string" and ("%q"):format(value) or tostring(value)
    end
    error(table.concat(parts, "\n    "), 2)
end

---@class moonloop.fuzz.Input bytes that decide: numbers from the front, texts up to a mark
---@field bytes string
---@field at integer
local Input = {}
Input.__index = Input

---@param bytes string
---@return moonloop.fuzz.Input
function M.input(bytes)
    return setmetatable({ bytes = bytes, at = 1 }, Input)
end

---@return boolean
function Input:is_empty()
    return self.at > #self.bytes
end

---@param most integer
---@return integer number 0 to `most`; 0 at the end
function Input:number(most)
    local byte = self.bytes:byte(self.at) or 0
    self.at = self.at + 1
    return byte % (most + 1)
end

---@return string text up to the next "\n", or the rest
function Input:line()
    local mark = self.bytes:find("\n", self.at, true) or #self.bytes + 1
    local text = self.bytes:sub(self.at, mark - 1)
    self.at = mark + 1
    return text
end

---@return string
function Input:rest()
    local text = self.bytes:sub(self.at)
    self.at = #self.bytes + 1
    return text
end

local LONG_BYTES = 48 * 1024
local SECONDS_MAX = 1 -- a linear pass takes a tenth of it at most, under a sanitizer and without LuaJIT's compiler

---What takes more than linear time shows with long input: of `text`, a part that its own bytes choose is repeated
---until it is long. For one in sixteen only, chosen by the bytes: it would take the time from the others.
---@param text string
---@param fn fun(text: string)
function M.is_quick(text, fn)
    local sum = 0
    for i = 1, #text do
        sum = (sum * 31 + text:byte(i)) % 65521
    end
    if #text == 0 or sum % 16 ~= 0 then
        return
    end
    local from = sum % #text + 1
    local to = math.min(#text, from + math.floor(sum / 16) % 4)
    local long = text:sub(1, from - 1) .. text:sub(from, to):rep(math.ceil(LONG_BYTES / (to - from + 1)))
        .. text:sub(to + 1)
    if is_watched then
        watch(false)
    end
    local began = os.clock()
    fn(long)
    local seconds = os.clock() - began
    if is_watched then
        watch(true)
    end
    M.claim(seconds < SECONDS_MAX, ("took %.2f s of CPU time for %d bytes"):format(seconds, #long), text, from, to)
end

return M
