--- JSON: what is read is written and read as the same again, compact and laid out; what is refused is refused with
--- the place, which lies within the text; what `moonloop fetch` lays out for a terminal is the same value, and steers
--- no terminal.

local check = dofile("core/fuzz/check.lua")
local json = require("moonloop.json")
local json_text = require("moonloop.cli.json_text")
local same = require("moonloop.util.same")

local claim = check.claim

---@return boolean whether an array is still one, null still null
local function are_of_a_kind(a, b)
    return type(a) == type(b) and (type(a) ~= "table" or getmetatable(a) == getmetatable(b))
end

local function is_same(a, b)
    return same.is_same(a, b, are_of_a_kind)
end

local function check_place(text, message)
    local line, column = message:match("^json: line (%d+) column (%d+): .")
    claim(line, "no place, or no reason", message, text)
    local number, at = 1, 1
    while number < tonumber(line) do
        at = text:find("\n", at, true)
        claim(at, "a line that does not exist", message, text)
        number, at = number + 1, at + 1
    end
    local rest = (text:find("\n", at, true) or #text + 1) - at
    claim(tonumber(column) >= 1 and tonumber(column) <= rest + 1, "a column that does not exist", message, text)
    claim(not message:find("%c"), "a message that is not one line", message)
end

local function check_value(text, value)
    for _, options in ipairs({ {}, { pretty = true } }) do
        local ok, written = pcall(json.encode, value, options)
        claim(ok, "what was read cannot be written", text, tostring(written))
        claim(not written:find("[%z\1-\9\11-\31]"), "control characters were not encoded", written)
        claim(is_same(json.decode(written), value), "written and read it is something else", text, written)
    end
end

local function check_layout(text, is_good, value)
    local laid_out = json_text.lay_out(text, false)
    if is_good then
        claim(laid_out, "what is JSON was not laid out", text)
        claim(is_same(json.decode(laid_out), value), "laid out it is something else", text, laid_out)
    end
    if laid_out then
        claim(not laid_out:find("[%z\1-\8\11\12\14-\31]"), "it steers a terminal", laid_out)
        local coloured = json_text.lay_out(text, true):gsub("\27%[[%d;]*m", "")
        claim(coloured == laid_out, "with colours it is something else", laid_out, coloured)
    end
end

return function(bytes)
    local is_good, value = pcall(json.decode, bytes)
    if is_good then
        check_value(bytes, value)
    else
        claim(value.code == "json", "another error", tostring(value))
        check_place(bytes, value.message)
    end
    check_layout(bytes, is_good, value)
    check.is_quick(bytes, function(long)
        pcall(json.decode, long)
        json_text.lay_out(long, true)
    end)
end
