--- JSON laid out for people: indented, coloured if wanted, and otherwise as it came: the order of names and the digits
--- of numbers stay.

local M = {}

local DEPTH_MAX = 1000
local COLOURS = { name = "34;1", string = "32", number = "36", word = "35" }
local WORDS = { ["true"] = true, ["false"] = true, null = true }

---@class moonloop.cli.JsonLayout
---@field text string
---@field at integer
---@field out string[]
---@field depth integer
---@field is_coloured boolean
local Layout = {}
Layout.__index = Layout

function Layout:add(kind, text)
    if self.is_coloured and kind then
        text = ("\27[%sm%s\27[0m"):format(COLOURS[kind], text)
    end
    self.out[#self.out + 1] = text
end

function Layout:skip()
    self.at = self.text:find("[^ \t\r\n]", self.at) or #self.text + 1
    return self.text:sub(self.at, self.at)
end

function Layout:new_line()
    self.out[#self.out + 1] = "\n" .. ("  "):rep(self.depth)
end

---@return string? string with its quotes
function Layout:take_string()
    local at = self.at + 1
    while true do
        at = self.text:find('["\\%z\1-\31]', at)
        local char = at and self.text:sub(at, at)
        if char == '"' then
            local text = self.text:sub(self.at, at)
            self.at = at + 1
            return text
        elseif char ~= "\\" or not self.text:find('^["\\/bfnrtu]', at + 1) then
            return nil
        end
        at = at + 2
    end
end

---The members of an object or the elements of an array, whose first bracket is next.
---@return boolean is_good
function Layout:group(close, has_names)
    self:add(nil, self.text:sub(self.at, self.at))
    self.at = self.at + 1
    if self:skip() == close then
        self:add(nil, close)
        self.at = self.at + 1
        return true
    end
    self.depth = self.depth + 1
    while true do
        self:new_line()
        local name = has_names and self:skip() == '"' and self:take_string()
        if has_names then
            if not name or self:skip() ~= ":" then
                return false
            end
            self:add("name", name)
            self:add(nil, ": ")
            self.at = self.at + 1
        end
        if self.depth > DEPTH_MAX or not self:value() then
            return false
        end
        local char = self:skip()
        self.at = self.at + 1
        if char == close then
            break
        elseif char ~= "," then
            return false
        end
        self:add(nil, ",")
    end
    self.depth = self.depth - 1
    self:new_line()
    self:add(nil, close)
    return true
end

---@return boolean is_good
function Layout:value()
    local char = self:skip()
    if char == "{" then
        return self:group("}", true)
    elseif char == "[" then
        return self:group("]", false)
    elseif char == '"' then
        local text = self:take_string()
        self:add("string", text or "")
        return text ~= nil
    end
    local number = self.text:match("^-?%d+%.?%d*[eE]?[+-]?%d*", self.at)
    local word = number or self.text:match("^%l+", self.at)
    if not number and not WORDS[word] then
        return false
    end
    self:add(number and "number" or "word", word)
    self.at = self.at + #word
    return true
end

---@param text string one value, or several with white space between
---@param is_coloured boolean
---@return string? nil: it is no JSON
function M.lay_out(text, is_coloured)
    local at = text:find("^\239\187\191") and 4 or 1 -- behind a byte order mark, as json.decode reads it
    local layout = setmetatable({ text = text, at = at, out = {}, depth = 0, is_coloured = is_coloured }, Layout)
    while layout:skip() ~= "" do
        if not layout:value() then
            return nil
        end
        layout:add(nil, "\n")
    end
    return layout.out[1] and table.concat(layout.out)
end

return M
