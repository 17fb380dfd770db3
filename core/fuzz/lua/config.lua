--- Options of the server, as the file, the environment and the command line give them: what is refused is refused with
--- one sentence for a person, what is taken is taken the same however it was written and read again, and C takes it.
---
--- Input: lines; a byte says where an option is given and another which; the rest of the line is its value, with a
--- first letter for its type where that is the file. The file is written here, from literals alone: nothing of an
--- input is ever run.

local check = dofile("core/fuzz/check.lua")
local config = require("moonloop.cli.config")
local fault = require("moonloop.cli.fault")
local options = require("moonloop.cli.options")
local values = require("moonloop.cli.values")

local claim = check.claim

-- Where an option is given: 0 is the file.
local ENVIRONMENT, FLAG, UNKNOWN = 1, 2, 3

local function is_equal(a, b)
    if type(a) ~= "table" or type(b) ~= "table" then
        return a == b
    end
    for key, value in pairs(a) do
        if not is_equal(value, b[key]) then
            return false
        end
    end
    return #a == #b
end

local function literal(value)
    if type(value) == "table" then
        local items = {}
        for i, item in ipairs(value) do
            items[i] = literal(item)
        end
        return "{ " .. table.concat(items, ", ") .. " }"
    elseif type(value) == "number" then
        return ("%.17g"):format(value)
    end
    return type(value) == "string" and ("%q"):format(value) or tostring(value)
end

local READ = {
    n = function(text) return tonumber(text) or 0 end,
    b = function(text) return text == "true" end,
    l = function(text)
        local list = {}
        for item in text:gmatch("[^|]+") do
            list[#list + 1] = item
        end
        return list
    end,
    s = function(text) return text end,
}

local function value_of(text)
    local read = READ[text:sub(1, 1)]
    local value = read and read(text:sub(2)) or text
    return (type(value) ~= "number" or value - value == 0) and value or 0
end

local function write_file(given)
    local path = os.tmpname()
    local file = assert(io.open(path, "wb"))
    file:write("return {\n")
    for _, pair in ipairs(given) do
        file:write(("    [%q] = %s,\n"):format(pair[1], literal(pair[2])))
    end
    file:write("}\n")
    file:close()
    return path
end

local function check_fault(err)
    claim(fault.is(err), "an error that is no sentence for a person", tostring(err))
    claim(err.exit_code == 1 or err.exit_code == 2, "an exit code of its own", err.exit_code)
    claim(err.message ~= "" and not err.message:find("[%z\1-\31\127]"), "a message that is not one line", err.message)
    claim(#err.message < 1000, "a message that nobody reads", err.message)
end

---Each value that was taken is taken again as it is, from the file and, as far as it is a text, from the environment.
local function check_settled(settled)
    for _, option in ipairs(options.list) do
        local value = settled[option.name]
        -- "auto" and "off" have become 0 and "".
        if value ~= nil and not is_equal(value, option.default) and value ~= "" and value ~= 0 then
            local again, expected = values.read(option, value)
            claim(again ~= nil, "what was taken is refused", option.name, literal(value), expected)
            claim(is_equal(again, value), "what was taken is taken as something else", option.name, literal(value),
                literal(again))
        end
    end
end

return function(bytes)
    local input, given, environment, flags = check.input(bytes), {}, {}, {}
    local seen = {}
    while not input:is_empty() do
        local where, option = input:number(3), options.list[input:number(#options.list - 1) + 1]
        local text = input:line()
        if where == FLAG then
            flags[option.name] = text
        elseif where == ENVIRONMENT then
            environment[options.variable(option)] = (text:gsub("%z", ""))
        elseif not seen[option.name] then
            seen[option.name] = true
            given[#given + 1] = { where == UNKNOWN and text or option.name, value_of(text) }
        end
    end
    local path = write_file(given)
    local ok, settled, notes = pcall(config.settle, { given = flags, config = path, apps = "apps" }, environment)
    os.remove(path)
    if not ok then
        check_fault(settled)
        return
    end
    for _, note in ipairs(notes) do
        claim(type(note) == "string" and not note:find("[%z\1-\31\127]"), "a note that is not one line", note)
    end
    check_settled(settled)
end
