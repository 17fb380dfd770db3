--- Options of the client: what is wrong with them is a mistake of whoever called, said with that place in front.

local M = {}

---Raises a mistake of whoever called the client, with that place in front.
---@param format string
---@param ... any
function M.misuse(format, ...)
    local level = 2
    while true do
        local info = debug.getinfo(level, "S")
        if not info or not (info.source:find("/moonloop/http", 1, true) or info.what == "C"
            or info.what == "tail") then
            error(format:format(...), info and level or 0)
        end
        level = level + 1
    end
end

local misuse = M.misuse

local SECONDS_MAX = 1e8 -- three years

---The types that an option may have, in words; of a boolean beside others only false is meant.
local function kinds_of(expected)
    local kinds = {}
    for kind in pairs(type(expected) == "table" and expected or { [expected] = true }) do
        kinds[#kinds + 1] = kind == "boolean" and type(expected) == "table" and "false" or "a " .. kind
    end
    table.sort(kinds)
    return table.concat(kinds, " or ")
end

---Raises for an option that does not exist or has the wrong type.
---@param options table
---@param known table<string, string|table<string, boolean>>
---@param what string
---@return integer count of options
function M.check(options, known, what)
    local count = 0
    if type(options) ~= "table" then
        misuse("%s: expected a table of options, got a %s", what, type(options))
    end
    for name, value in pairs(options) do
        count = count + 1
        local expected = known[name]
        if not expected then
            misuse("%s", require("moonloop.http.familiar").hint(what, name, known)
                or require("moonloop.options").unknown(what, name, known))
        end
        local kind = type(value)
        local is_good = expected == "any" or expected == kind or type(expected) == "table" and expected[kind]
        if not is_good then
            misuse("%s: option %s: a %s does not do: expected %s", what, name, kind, kinds_of(expected))
        end
    end
    local timeout = options.timeout
    if timeout == true or type(timeout) == "number" and not (timeout > 0 and timeout <= SECONDS_MAX) then
        misuse("%s: option timeout: expected seconds, more than 0 and up to 1e8, or false for none", what)
    end
    return count
end

---Raises unless it is nil or a whole number of bytes.
---@param what string
---@param bytes? number
function M.check_bytes(what, bytes)
    if bytes ~= nil and not (type(bytes) == "number" and bytes >= 0 and bytes <= 9e15 and bytes % 1 == 0) then
        misuse("%s: expected bytes, from 0", what)
    end
end

---Raises unless it is nil or what may stand in Content-Type.
---@param what string
---@param media_type? string
---@return string?
function M.check_type(what, media_type)
    if media_type and (media_type == "" or media_type:find("[%z\1-\31\127]")) then
        misuse("%s: option type: expected a media type, such as image/png, got %q", what, media_type)
    end
    return media_type
end

---A number as it is written into a URL, a form or a field: 3, not 3.0 or 1e+15.
---@param number number
---@return string
function M.number_text(number)
    return number % 1 == 0 and math.abs(number) < 1e15 and ("%d"):format(number) or tostring(number)
end

return M
