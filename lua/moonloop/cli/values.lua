--- The types of options: from what was written (a string of the command line or the environment, or a Lua
--- value of moonloop.conf.lua) to what the server wants.
---
--- A reader gets the option and the value and returns the result, or nil and what it expected.

local ip_address = require("moonloop.ip_address")

local M = {}

local BYTES_MAX = 2 ^ 50
local BINDS_MAX = 16
local SECONDS_MAX = 86400 * 30
local multipliers = { [""] = 1, K = 1024, M = 1024 ^ 2, G = 1024 ^ 3 }
local words = {
    ["1"] = true, ["true"] = true, yes = true, on = true,
    ["0"] = false, ["false"] = false, no = false, off = false,
}

---@param option moonloop.cli.Option
local function range(option, default_min, default_max)
    return option.min or default_min, option.max or default_max
end

local function whole(value)
    local number = value
    if type(value) == "string" then
        number = value:match("^%-?%d+$") and tonumber(value)
    end
    if type(number) == "number" and number == math.floor(number) and math.abs(number) < 2 ^ 53 then
        return number
    end
end

local readers = {}

function readers.integer(option, value)
    local min, max = range(option, 0, 2 ^ 31 - 1)
    local number = whole(value)
    if number and number >= min and number <= max then
        return number
    end
    return nil, ("a whole number from %d to %d"):format(min, max)
end

function readers.count(option, value)
    if value == "auto" then
        return 0
    end
    local number = whole(value)
    if number and number >= 1 and number <= option.max then
        return number
    end
    return nil, ("a whole number from 1 to %d, or auto"):format(option.max)
end

function readers.seconds(option, value)
    local min, max = range(option, 0, SECONDS_MAX)
    local number = value
    if type(value) == "string" then
        number = value:match("^%d*%.?%d*$") and tonumber(value)
    end
    if type(number) == "number" and number >= min and number <= max then
        return number
    end
    return nil, ("seconds, a number from %d to %d"):format(min, max)
end

function readers.bytes(option, value)
    local min, max = range(option, 0, BYTES_MAX)
    local number
    if type(value) == "string" then
        local digits, unit = value:upper():match("^(%d+)%s*([KMG]?)I?B?$")
        number = digits and tonumber(digits) * multipliers[unit]
    else
        number = whole(value)
    end
    if number and number >= min and number <= max then
        return number
    end
    return nil, "bytes: a whole number, or one with K, M or G behind it"
        .. (option.min and (", from %d"):format(min) or "") .. (option.max and (", up to %d"):format(max) or "")
end

function readers.boolean(option, value)
    if type(value) == "string" then
        local word = value:lower()
        value = words[word]
        if value == nil and option.synonyms then
            value = option.synonyms[word]
        end
    end
    if type(value) == "boolean" then
        return value
    end
    return nil, "true or false"
end

function readers.text(_, value)
    if type(value) == "number" then
        value = ("%d"):format(value)
    end
    if type(value) == "string" and value ~= "" and not value:find("%z") then
        return value
    end
    return nil, "a text that is not empty"
end

function readers.path(option, value)
    if type(value) == "string" then
        return readers.text(option, value)
    end
    return nil, "a path"
end

function readers.log(option, value)
    if value == false or value == "off" or value == "none" then
        return ""
    end
    if type(value) == "string" and value ~= "" then
        return readers.path(option, value)
    end
    return nil, 'a path, or "-"'
end

function readers.choice(option, value)
    if type(value) == "number" then
        value = tostring(value)
    end
    if type(value) == "string" then
        local word = value:lower()
        word = option.synonyms and option.synonyms[word] or word
        for _, choice in ipairs(option.choices) do
            if choice == word then
                return word
            end
        end
    end
    return nil, "one of " .. table.concat(option.choices, ", ")
end

---A number of a Lua file is taken as it is (0x12, or 18), a string as octal digits.
function readers.umask(_, value)
    local number
    if type(value) == "string" then
        local digits = value:match("^0?o?([0-7]+)$")
        number = digits and tonumber(digits, 8)
    else
        number = whole(value)
    end
    if number and number >= 0 and number <= 511 then
        return number
    end
    return nil, "a mask in octal, 0 to 0777"
end

function readers.list(_, value)
    local items = value
    if type(value) == "string" then
        items = {}
        for item in value:gmatch("[^,%s]+") do
            items[#items + 1] = item
        end
    end
    if type(items) == "table" and #items > 0 then
        for key, item in pairs(items) do
            if type(key) ~= "number" or type(item) ~= "string" then
                return nil, "a text or a list of texts"
            end
        end
        return items
    end
    return nil, "a text or a list of texts, not an empty one"
end

--- Paths with commas between, where they are written as one text.
function readers.paths(_, value)
    local items = value
    if type(value) == "string" then
        items = {}
        for item in value:gmatch("[^,]+") do
            items[#items + 1] = item
        end
    end
    for key, item in pairs(type(items) == "table" and items or { 0 }) do
        if type(key) ~= "number" or type(item) ~= "string" or item == "" or item:find("[%z\n]") then
            return nil, "a path or a list of paths"
        end
    end
    return items
end

function readers.networks(option, value)
    local items, expected = readers.list(option, value)
    if not items then
        return nil, expected
    end
    for _, item in ipairs(items) do
        if item ~= "*" and not ip_address.is_network(item) then
            return nil, "IP addresses and networks such as 10.0.0.0/8 with commas between, or *"
                .. (#items > 1 and ("; %s is none"):format(M.show(item)) or "")
        end
    end
    return table.concat(items, ",")
end

local NAMESERVERS_MAX = 8

function readers.nameservers(option, value)
    local items = readers.list(option, value) or {}
    for _, item in ipairs(items) do
        local host, port = item:gsub("%%[%w_.-]+", "", 1), "53" -- without the link of fe80::1%eth0
        if host:find("^%[") or host:find("^[%d.]+:") then
            host, port = host:match("^%[?([%x:.]+)%]?:(%d+)$")
        end
        local is_six = host and host:find("^%x*:[%x:.]*:[%x:.]*$") and not item:find("^[%d.]+:")
        local is_four = host and host:find("^%d+%.%d+%.%d+%.%d+$") and not item:find("%[")
        local number = tonumber(port)
        if not (is_six or is_four) or number < 1 or number > 65535 then
            items = {}
        end
    end
    if #items == 0 or #items > NAMESERVERS_MAX then
        return nil, ("1 to %d addresses such as 127.0.0.1, 127.0.0.1:5353, ::1, [::1]:5353, with commas between")
            :format(NAMESERVERS_MAX)
    end
    return table.concat(items, ",")
end

---@param option moonloop.cli.Option
---@param value any
---@return any? result
---@return string? expected when there is no result
function M.read(option, value)
    local result, expected = readers[option.type](option, value)
    if option.type == "list" and result and option.name:find("bind$") then
        return M.check_addresses(result)
    end
    return result, expected
end

local function is_port(text)
    local port = text:match("^%d+$") and tonumber(text)
    return port and port <= 65535
end

---@param address string
---@return boolean
local function is_address(address)
    if address:match("^unix:.") then
        return true
    end
    if address:match("^fd://%d+$") then
        return true
    end
    local port = address:match("^%[[%x:%.]+%%?[%w_]*%]:(%d+)$") or address:match("^[%w%-%._]*:(%d+)$")
    return port ~= nil and is_port(port) or false
end

---The addresses of `bind`. A port alone ("8000" or ":8000") is one on 127.0.0.1, respectively on all.
---@param list string[]
---@return string[]? addresses
---@return string? expected
function M.check_addresses(list)
    if #list > BINDS_MAX then
        return nil, ("at most %d addresses"):format(BINDS_MAX)
    end
    local addresses = {}
    for i, written in ipairs(list) do
        local mark, address = written:match("^(proxy%+)(.*)$")
        mark, address = mark or "", address or written
        if is_port(address) then
            address = "127.0.0.1:" .. address
        elseif address:match("^:%d+$") then
            address = "0.0.0.0" .. address
        elseif address:match("^%*:%d+$") then
            address = "0.0.0.0" .. address:sub(2)
        end
        if not is_address(address) then
            return nil, "HOST:PORT, [IPV6]:PORT, unix:PATH or fd://N"
        end
        addresses[i] = mark .. address
    end
    return addresses
end

---How a value looks in a message: short, on one line.
---@return string
function M.show(value)
    if type(value) == "table" then
        local is_list = type(value[1]) == "string" and #value < 8
        return is_list and M.show(table.concat(value, ",")) or "a table"
    end
    if type(value) ~= "string" then
        return tostring(value)
    end
    if #value > 60 then
        value = value:sub(1, 57) .. "..."
    end
    return '"' .. value:gsub('[%c"\\]', function(char)
        return ("\\%d"):format(char:byte())
    end) .. '"'
end

return M
