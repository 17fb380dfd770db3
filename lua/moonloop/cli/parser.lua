--- The words of the command line: from argv to a command and what was given with it, as raw strings.
--- Meaning comes later (cli/config.lua).

local argparse = require("argparse")
local fault = require("moonloop.cli.fault")
local foreign = require("moonloop.cli.foreign")
local options = require("moonloop.cli.options")
local suggest = require("moonloop.cli.suggest")

local M = {}

local function dashes(name)
    return "--" .. name:gsub("_", "-")
end

---@param list string[] flags, shown or not
local function spellings(list)
    return table.concat(list, " ")
end

---An argparse action: sets `sink.given[name]`, to `fixed` or to what was written.
local function store(sink, name, fixed)
    return function(_, _, value)
        if fixed ~= nil then
            value = fixed
        end
        sink.given[name] = value
    end
end

---@param option moonloop.cli.Option
local function describe(option)
    local default = options.shown_default(option)
    return default == "" and option.doc or ("%s (default: %s)"):format(option.doc, default)
end

local function add_boolean(command, sink, option)
    local shown = { dashes(option.name) }
    for _, flag in ipairs(option.flags or {}) do
        table.insert(shown, 1, flag)
    end
    local hidden = option.name:find("_") and "--" .. option.name
    local on = command:flag(spellings(shown)):description(describe(option))
        :action(store(sink, option.name, true))
    local off = command:flag("--no-" .. option.name:gsub("_", "-"))
        :description("The opposite of " .. shown[#shown] .. ".")
        :action(store(sink, option.name, false))
    if hidden then
        on:hidden_name(hidden)
        off:hidden_name("--no_" .. option.name)
    end
    if not option.default then
        off:hidden(true)
    end
end

local function add_valued(command, sink, option)
    local shown, hidden = { dashes(option.name) }, {}
    if option.name:find("_") then
        hidden[1] = "--" .. option.name
    end
    for _, flag in ipairs(option.flags or {}) do
        if #flag == 2 then
            table.insert(shown, 1, flag)
        else
            hidden[#hidden + 1] = flag
            if flag:sub(3):find("-") then
                hidden[#hidden + 1] = "--" .. flag:sub(3):gsub("-", "_")
            end
        end
    end
    local made = command:option(spellings(shown)):description(describe(option))
        :argname(options.metavar(option)):target(option.name)
    if #hidden > 0 then
        made:hidden_name(spellings(hidden))
    end
    if option.type == "list" or option.type == "paths" then
        made:count("*"):action(function(_, _, value)
            local list = sink.given[option.name] or {}
            for item in value:gmatch(option.type == "list" and "[^,%s]+" or "[^,]+") do
                list[#list + 1] = item
            end
            sink.given[option.name] = list
        end)
    else
        made:action(store(sink, option.name))
    end
end

---gunicorn's flags without a use here: explained at start-up.
local function add_foreign(command, sink)
    for name in pairs(foreign.reasons) do
        if name ~= "config" then
            local made = command:option(dashes(name)):hidden(true):args(foreign.switches[name] and 0 or 1)
                :action(function()
                    sink.ignored[#sink.ignored + 1] = name
                end)
            if name:find("_") then
                made:hidden_name("--" .. name)
            end
            if foreign.flags[name] then
                made:hidden_name(foreign.flags[name])
            end
        end
    end
end

local function add_config(command)
    command:option("-c --config"):argname("FILE"):target("config")
        :description("Configuration file. (default: moonloop.conf.lua in the current directory, if there)")
end

local function add_server_options(command, sink)
    add_config(command)
    for _, option in ipairs(options.list) do
        local add = option.type == "boolean" and add_boolean or add_valued
        add(command, sink, option)
    end
    command:option("--host"):argname("HOST"):target("host")
        :description("With --port: short for --bind HOST:PORT.")
    command:option("-p --port"):argname("PORT"):target("port")
        :description("With --host: short for --bind HOST:PORT.")
    add_foreign(command, sink)
end

---For the commands that talk to a running server: what says where it is.
local function add_address(command, sink)
    add_config(command)
    add_valued(command, sink, options.by_name.control)
    command:option("--apps"):argname("APPS"):target("apps")
        :description("The apps directory of the server. (default: apps)")
end

local function add_apps(command)
    command:argument("APPS"):args("?"):target("apps")
        :description("The apps directory. (default: apps)")
end

local function add_json(command)
    command:flag("--json"):target("json"):description("Print JSON.")
end

local function add_filters(command)
    for _, filter in ipairs({
        { "--filter", "PATTERN", "Only tests whose name matches the Lua pattern." },
        { "--filter-out", "PATTERN", "Not the tests whose name matches." },
        { "--tags -t", "TAGS", "Only tests with these #tags; commas between." },
        { "--exclude-tags", "TAGS", "Not the tests with these #tags." },
        { "--pattern", "PATTERN", "Files with a name that matches are specs. (default: _spec)" },
        { "--jobs -j", "N", "Run N spec files at once, each in a process of its own; auto: one for each processor; "
            .. "0: all in this process, with nothing that they write held back. (default: 1)" },
        { "--timeout", "SECONDS", "End a spec file that takes longer. (default: none)" },
        { "--output -o", "HANDLER", "Show results with an output handler of busted, such as TAP or junit." },
        { "--repeat", "N", "Run everything N times." },
        { "--seed", "N", "Seed for --shuffle." },
        { "--slow", "N", "At the end, list the N slowest tests and files." },
    }) do
        command:option(filter[1]):argname(filter[2]):description(filter[3])
    end
    command:flag("--shuffle"):description("Run files and tests in random order.")
    command:flag("--verbose -v"):description("Show all of the tracebacks and the log of what failed.")
    command:flag("--no-lint"):target("no_lint"):description("Do not run luacheck.")
    command:flag("--events"):hidden(true) -- of a process that runs a file for `moonloop test`
end

---@class moonloop.cli.Command
---@field name string
---@field doc string
---@field usage string what follows the name
---@field add fun(command: table, sink: { given: table, ignored: string[] })

---@type moonloop.cli.Command[]
M.commands = {
    { name = "serve", usage = "[OPTIONS] [APPS]", doc = "Serve an apps directory.", add = function(command, sink)
        add_apps(command)
        add_server_options(command, sink)
    end },
    { name = "check", usage = "[OPTIONS] [APPS]",
        doc = "Load the configuration and all apps without serving; print every error as file:line: message.",
        add = function(command, sink)
            add_apps(command)
            add_server_options(command, sink)
        end },
    { name = "routes", usage = "[--json] [--running] [APPS]",
        doc = "List method, pattern, app and handler of every route.", add = function(command, sink)
            add_apps(command)
            add_config(command)
            add_valued(command, sink, options.by_name.control)
            add_json(command)
            command:flag("--running"):description("Ask the running server instead of loading the apps.")
        end },
    { name = "test", usage = "[OPTIONS] [PATH...]",
        doc = "Run specs with busted, inside the runtime: they may sleep, fetch, offload and call apps.",
        add = function(command)
            command:argument("PATH"):args("*"):target("paths")
                :description("Spec files or directories. (default: spec, and luacheck over the tree)")
            add_filters(command)
        end },
    { name = "lint", usage = "[--jobs N] [CHECKER...]",
        doc = "Check the sources with luacheck, clang-format, shellcheck, cppcheck and clang-tidy.",
        add = function(command)
            command:argument("CHECKER"):args("*"):target("names")
                :description("Only these. (default: each whose settings file is here, .luacheckrc for one)")
            command:option("-j --jobs"):argname("N"):target("jobs")
                :description("How many programs run at once. (default: as many as there are processors)")
        end },
    { name = "run", usage = "FILE [ARG...]",
        doc = "Run one Lua script with every primitive and no server.", add = function(command)
            command:option("--trace"):argname("FILE"):hidden(true)
            command:argument("FILE"):target("file"):description("The script; `arg` holds what follows.")
            command:argument("ARG"):args("*"):target("args"):description("Arguments of the script.")
        end },
    { name = "fetch", usage = "[OPTIONS] URL",
        doc = "Ask for a URL and show the answer, with curl's options.", add = function(command)
            require("moonloop.cli.fetch_options").add(command)
        end },
    { name = "new", usage = "NAME", doc = "Start an app: apps/NAME.lua, a spec and editor types.",
        add = function(command)
            command:argument("NAME"):target("name"):description("Name of the app, and of its first path segment.")
        end },
    { name = "status", usage = "[OPTIONS]", doc = "Show the workers of the running server.",
        add = function(command, sink)
            add_json(command)
            add_address(command, sink)
        end },
    { name = "reload", usage = "[--wait] [--json]",
        doc = "Have the running server load its configuration and apps anew.",
        add = function(command, sink)
            command:flag("--wait"):description("Wait for the outcome; exit 1 when the new code was refused.")
            add_json(command)
            add_address(command, sink)
        end },
    { name = "restart", usage = "[--wait] [--json]",
        doc = "Replace the workers of the running server, one by one, without losing a request.",
        add = function(command, sink)
            command:flag("--wait"):description("Wait until every worker is new.")
            add_json(command)
            add_address(command, sink)
        end },
    { name = "upgrade", usage = "[OPTIONS]",
        doc = "Have the running server go on as the binary that now lies where its own came from.",
        add = function(command, sink)
            add_json(command)
            add_address(command, sink)
        end },
    { name = "stop", usage = "[OPTIONS]", doc = "Stop the running server gracefully.", add = function(command, sink)
        add_json(command)
        add_address(command, sink)
    end },
    { name = "scale", usage = "[OPTIONS] N", doc = "Change the number of workers of the running server.",
        add = function(command, sink)
            command:argument("N"):target("count"):description("How many workers, 1 to 256.")
            add_json(command)
            add_address(command, sink)
        end },
    { name = "ps", usage = "[OPTIONS]", doc = "Show what the workers of the running server are doing.",
        add = function(command, sink)
            add_json(command)
            add_address(command, sink)
        end },
    { name = "unit", usage = "[OPTIONS] [APPS]",
        doc = "Print a hardened systemd unit for such a server.",
        add = function(command, sink)
            add_apps(command)
            command:option("--service"):argname("NAME"):target("service")
                :description("What the service is called. (default: moonloop)")
            add_server_options(command, sink)
        end },
    { name = "dockerfile", usage = "[OPTIONS] [APPS]",
        doc = "Print a recipe for a small container image of such a server.",
        add = function(command, sink)
            add_apps(command)
            add_server_options(command, sink)
        end },
    { name = "version", usage = "[--json]", doc = "Versions of moonloop and of each library in use.",
        add = add_json },
    { name = "help", usage = "[COMMAND]", doc = "Explain a command.", add = function(command)
        command:argument("COMMAND"):args("?"):target("topic"):description("A command.")
        command:flag("--man"):hidden(true)
        command:flag("--markdown"):hidden(true)
        command:flag("--bash"):hidden(true)
    end },
}

local command_names = {}
for _, command in ipairs(M.commands) do
    command_names[#command_names + 1] = command.name
end

local epilog = [[
The server's options are also keys of moonloop.conf.lua (a file that returns a table) and MOONLOOP_*
variables. The command line beats the environment beats the file.]]

---@param entry moonloop.cli.Command
local function build_command(entry)
    local command = argparse("moonloop " .. entry.name, entry.doc)
        :usage(("Usage: moonloop %s %s"):format(entry.name, entry.usage))
        :help_max_width(100):help_description_margin(34)
        :add_help(false)
    local sink = { given = {}, ignored = {} }
    entry.add(command, sink)
    command:flag("-h --help"):description("Show this.")
    if entry.name == "serve" then
        command:epilog(epilog)
    end
    return command, sink
end

local function find(name)
    for _, entry in ipairs(M.commands) do
        if entry.name == name then
            return entry
        end
    end
    fault.raise(2, "unknown command %s%s (moonloop help lists the commands)", name,
        suggest.hint(name, command_names))
end

---@param name? string a command; nil: all of them
---@return string
function M.help(name)
    if name then
        local command = build_command(find(name))
        return (command:get_help():gsub("%s*$", "\n"))
    end
    local lines = { "moonloop: a server for handlers in Lua", "", "Usage: moonloop COMMAND [ARGUMENTS]", "" }
    for _, entry in ipairs(M.commands) do
        lines[#lines + 1] = ("  %-9s %s"):format(entry.name, entry.doc)
    end
    lines[#lines + 1] = "\n`moonloop COMMAND --help` tells more.\n"
    return table.concat(lines, "\n")
end

---Every flag of a command, for suggestions.
local function known_flags(command)
    local flags = {}
    for _, option in ipairs(command._options) do
        if not option._hidden then
            for _, alias in ipairs(option._aliases) do
                if alias:sub(1, 2) == "--" then
                    flags[#flags + 1] = alias
                end
            end
        end
    end
    return flags
end

---@param name string a command
---@return string[] flags
function M.flags(name)
    return known_flags((build_command(find(name))))
end

---argparse's sentence, with our suggestion and in one line.
local function explain(entry, command, message)
    local text = message:gsub("\n.*", ""):gsub("'(%-[^']*)'", "%1")
    local unknown = message:match("unknown option '(%-[^']*)'")
    if unknown and unknown:find("^%-[%d.]") then
        text = unknown .. ": no option takes a negative number"
    elseif unknown then
        text = "unknown option " .. unknown .. suggest.hint(unknown, known_flags(command))
    end
    fault.raise(2, "%s: %s (moonloop %s --help lists the options)", entry.name, text, entry.name)
end

---What follows the script of `run` belongs to the script, dashes or not.
local function protect_script(words)
    local protected, is_value = {}, false
    for i, word in ipairs(words) do
        if is_value or word:sub(1, 1) == "-" then
            is_value = word == "--trace" and not is_value
            protected[i] = word
            if word == "--" then
                return words
            end
        else
            protected[i] = "--"
            for rest = i, #words do
                protected[rest + 1] = words[rest]
            end
            return protected
        end
    end
    return protected
end

local function wants_help(words)
    for _, word in ipairs(words) do
        if word == "--" then
            return false
        elseif word == "-h" or word == "--help" then
            return true
        end
    end
    return false
end

---Flask's --host and --port, as an address.
local function merge_host(result)
    if not result.host and not result.port then
        return
    end
    if result.given.bind then
        fault.raise(2, "serve: give --bind, or --host and --port, not both")
    end
    local port = result.port or "8080"
    if not port:match("^%d+$") or tonumber(port) > 65535 then
        fault.raise(2, "--port: expected a number from 0 to 65535, got %q (a pid file is --pidfile)", port)
    end
    local host = result.host or "127.0.0.1"
    if host:find(":", 1, true) and host:sub(1, 1) ~= "[" then
        host = "[" .. host .. "]"
    end
    result.given.bind = { host .. ":" .. port }
end

---@param words string[] argv without the program
---@return table result `command`, `given` (raw option values by name), `ignored`, and the command's own
function M.parse(words)
    local name = words[1]
    if not name then
        return { command = "help", is_lost = true }
    elseif name == "-h" or name == "--help" then
        return { command = "help" }
    elseif name == "-V" or name == "-v" or name == "--version" then
        return { command = "version" }
    end
    local entry = find(name)
    words = { unpack(words, 2) }
    if name == "run" then
        words = protect_script(words)
    end
    if wants_help(words) then
        return { command = "help", topic = name }
    end
    local command, sink = build_command(entry)
    local ok, result = command:pparse(words)
    if not ok then
        explain(entry, command, result)
    end
    result.command, result.given, result.ignored = name, sink.given, sink.ignored
    merge_host(result)
    return result
end

return M
