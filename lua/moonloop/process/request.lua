--- From what a caller gave to what C starts: the checks of argv and options, and the defaults.

local core = require("moonloop.core.process")
local suggest = require("moonloop.cli.suggest")

local M = {}

local DEFAULT_GRACE, DEFAULT_MAX_OUTPUT, DEFAULT_MAX_PROCESSES = 2, 64 * 1024 * 1024, 100

---@class moonloop.process.Request what core.start takes
---@field argv string[]
---@field env? string[]
---@field cwd? string
---@field stdin "null"|"pipe"|file*
---@field stdout "pipe"|"inherit"|"null"|file*
---@field stderr "pipe"|"inherit"|"null"|"stdout"|file*
---@field timeout? number
---@field grace number
---@field max_capture integer 0: streams
---@field max_processes integer
---@field check? boolean

local NAMES = { "stdin", "stdout", "stderr", "timeout", "grace", "env", "clean_env", "cwd", "shell", "check",
    "max_output", "max_processes" }
local KNOWN = {}
for _, name in ipairs(NAMES) do
    KNOWN[name] = true
end

-- The caller of run or spawn: here, request.new and run itself are between.
local LEVEL = 4

local function misuse(what, format, ...)
    local level = LEVEL
    while true do
        local info = debug.getinfo(level, "S")
        if not info or not info.source:find("/moonloop/process", 1, true) then
            error(what .. ": " .. format:format(...), info and level or 0)
        end
        level = level + 1
    end
end

local function check_text(what, name, value)
    if type(value) ~= "string" then
        misuse(what, "%s: expected a string, got a %s", name, type(value))
    elseif value:find("\0", 1, true) then
        misuse(what, "%s holds a NUL byte, which no program can be given", name)
    end
end

local function check_argv(what, argv)
    if #argv == 0 then
        misuse(what, "expected a program and its arguments, got an empty list")
    end
    for key in pairs(argv) do
        if type(key) ~= "number" then
            misuse(what, "%q is no argument: options go into a second table", tostring(key))
        elseif key < 1 or key > #argv or key % 1 ~= 0 then
            misuse(what, "argument %s: the list has a hole before it", tostring(key))
        end
    end
    local copy = {}
    for i, word in ipairs(argv) do
        if type(word) ~= "string" then
            misuse(what, "argument %d: expected a string, got a %s; use tostring()", i, type(word))
        end
        check_text(what, "argument " .. i, word)
        copy[i] = word
    end
    if copy[1] == "" then
        misuse(what, "the name of the program is empty")
    end
    return copy
end

local function argv_of(what, argv, shell)
    if type(argv) == "table" then
        if shell then
            misuse(what, "option shell: a list needs no shell; give the command as one string")
        end
        return check_argv(what, argv)
    elseif type(argv) ~= "string" then
        misuse(what, "expected a list { program, argument, ... }, got a %s", type(argv))
    elseif not shell then
        misuse(what, "a string would need a shell: give a list { %q, ... }, or shell = true", argv:match("%S+") or "")
    end
    check_text(what, "the command", argv)
    return { shell == true and "/bin/sh" or shell, "-c", argv }
end

local function check_types(what, options)
    local expected = { timeout = "number", grace = "number", env = "table", clean_env = "boolean", cwd = "string",
        check = "boolean", max_output = "number", max_processes = "number" }
    if type(options) ~= "table" then
        misuse(what, "expected a table of options, got a %s", type(options))
    end
    for name, value in pairs(options) do
        if not KNOWN[name] then
            misuse(what, "unknown option %q%s", tostring(name), suggest.hint(tostring(name), NAMES))
        elseif expected[name] and type(value) ~= expected[name] then
            misuse(what, "option %s: expected a %s, got a %s", name, expected[name], type(value))
        end
    end
    local shell = options.shell
    if shell ~= nil and type(shell) ~= "boolean" and (type(shell) ~= "string" or shell == "") then
        misuse(what, "option shell: expected true or the path of a shell")
    end
end

local function check_range(what, options, name, least, most)
    local value = options[name]
    if value and not (value >= least and value <= most) then
        misuse(what, "option %s: expected %s to %s, got %s", name, least, most, value)
    end
end

---The whole environment of the child, or nil for ours as it is.
local function env_of(what, env, is_clean)
    if not env and not is_clean then
        return nil
    end
    local list, own = {}, {}
    for name, value in pairs(env or {}) do
        if type(name) ~= "string" or name == "" or name:find("[=%z]") then
            misuse(what, "option env: %q is no name for a variable", tostring(name))
        elseif value ~= false then
            check_text(what, "option env: " .. name, value)
            list[#list + 1] = name .. "=" .. value
        end
        own[name] = true
    end
    for _, entry in ipairs(is_clean and {} or core.environment()) do
        if not own[entry:match("^[^=]*")] then
            list[#list + 1] = entry
        end
    end
    return list
end

local PLACES = {
    stdout = { capture = "pipe", inherit = "inherit", discard = "null" },
    stderr = { capture = "pipe", inherit = "inherit", discard = "null", stdout = "stdout" },
}

local function is_file(value)
    return io.type(value) == "file"
end

local function place_of(what, options, name)
    local value = options[name]
    if value == nil then
        return "pipe"
    elseif is_file(value) then
        return value
    end
    local place = type(value) == "string" and PLACES[name][value]
    if not place then
        local words = {}
        for word in pairs(PLACES[name]) do
            words[#words + 1] = ("%q"):format(word)
        end
        table.sort(words)
        misuse(what, "option %s: expected %s or an open file, got %s", name, table.concat(words, ", "),
            type(value) == "string" and ("%q"):format(value) or "a " .. type(value))
    end
    return place
end

local function is_callable(value)
    local meta = type(value) == "table" and getmetatable(value)
    return type(value) == "function" or type(meta) == "table" and meta.__call ~= nil
end

---Where its standard input comes from, and what is written into it.
local function input_of(what, value, is_spawn)
    if value == nil then
        return is_spawn and "pipe" or "null"
    elseif value == false then
        return "null"
    elseif is_file(value) then
        return value
    elseif type(value) == "string" then
        return "pipe", value
    elseif is_callable(value) then
        return "pipe", function()
            return value()
        end
    end
    misuse(what, "option stdin: expected a string, an open file, a function that gives strings, or false; got %s",
        io.type(value) or "a " .. type(value))
end

---Raises, as the caller's mistake, what cannot be meant.
---@param what string "process.run" or "process.spawn"
---@param argv string[]|string
---@param options? moonloop.process.Options
---@return moonloop.process.Request
---@return string|function|nil input
function M.new(what, argv, options)
    options = options or {}
    check_types(what, options)
    check_range(what, options, "timeout", 0.001, 31622400)
    check_range(what, options, "grace", 0, 3600)
    check_range(what, options, "max_output", 1, 2 ^ 40)
    check_range(what, options, "max_processes", 1, 1e6)
    if options.cwd then
        check_text(what, "option cwd", options.cwd)
    end
    local is_spawn = what == "process.spawn"
    if is_spawn and options.max_output then
        misuse(what, "option max_output is for process.run: here, what is not read waits in the pipe")
    end
    local place, input = input_of(what, options.stdin, is_spawn)
    return {
        argv = argv_of(what, argv, options.shell),
        env = env_of(what, options.env, options.clean_env),
        cwd = options.cwd,
        stdin = place,
        stdout = place_of(what, options, "stdout"),
        stderr = place_of(what, options, "stderr"),
        timeout = options.timeout,
        grace = options.grace or DEFAULT_GRACE,
        max_capture = is_spawn and 0 or options.max_output or DEFAULT_MAX_OUTPUT,
        max_processes = options.max_processes or DEFAULT_MAX_PROCESSES,
        check = options.check,
    }, input
end

return M
