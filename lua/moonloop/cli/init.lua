--- The command line: words in, one flat table out, for the C side to act on.
---
--- The table has `command`, the command's own arguments and, for those that concern a server, every option
--- of cli/options.lua under its name: times in seconds, sizes in bytes, `workers`, `threads` and `processes` 0 for
--- auto, `bind` a list, paths absolute. Commands that Lua can finish alone (help, version, new) are finished here:
--- then `command` is "exit" and `exit_code` says how; `message`, when there is one, is what was wrong, for
--- the caller to print.

local fault = require("moonloop.cli.fault")
local files = require("moonloop.cli.files")

local M = {}

--- As the C side knows them: what VERSION says, and where these files are.
M.version, M.lua_dir = "unknown", "/"

local commands = {}

local function exit(code)
    return { command = "exit", exit_code = code }
end

---What the user should know at start-up.
local function say(notes)
    for _, note in ipairs(notes) do
        io.stderr:write("moonloop: ", note, "\n")
    end
end

---Settles the options. Raises a fault.
local function with_config(parsed)
    local config = require("moonloop.cli.config")
    local settled, notes = config.settle(parsed, files.environment())
    for _, name in ipairs(parsed.ignored) do
        notes[#notes + 1] = ("--%s is ignored: %s"):format(name:gsub("_", "-"),
            require("moonloop.cli.foreign").reasons[name])
    end
    if parsed.command == "serve" or parsed.command == "check" then
        say(notes)
    end
    settled.command, settled.json = parsed.command, parsed.json or false
    return settled
end

local function need_apps(settled)
    local is_there, reason
    if settled.chdir then
        is_there, reason = files.is_directory(settled.chdir)
        if not is_there then
            fault.raise(1, "chdir: %s: %s", settled.chdir, reason)
        end
    end
    is_there, reason = files.is_directory(settled.apps_dir)
    if is_there then
        return
    end
    if reason == "Not a directory" then
        fault.raise(1, "%s: expected a directory of apps, this is a file", settled.apps_dir)
    end
    if reason ~= "No such file or directory" then
        fault.raise(1, "%s: %s", settled.apps_dir, reason)
    end
    fault.raise(1, "%s: no such directory; name one (moonloop %s DIR) or start an app: moonloop new hello",
        settled.apps_dir, settled.command)
end

function commands.serve(parsed)
    local settled = with_config(parsed)
    need_apps(settled)
    return settled
end

---Goes on with the defaults where the configuration is wrong, so that all problems are told at once.
function commands.check(parsed)
    local faults = {}
    local ok, settled = pcall(with_config, parsed)
    if not ok then
        if not fault.is(settled) then
            error(settled, 0)
        end
        faults[1] = settled.message
        settled = require("moonloop.cli.config").defaults(parsed)
        settled.command = "check"
    end
    need_apps(settled)
    if settled.certfile then
        faults[#faults + 1] = require("moonloop.core.tls").check(settled.certfile, settled.keyfile or {},
            settled.ca_certs)
    end
    settled.config_faults = faults
    settled.problems = require("moonloop.cli.check").scan(settled.apps_dir)
    return settled
end

function commands.routes(parsed)
    local settled = with_config(parsed)
    settled.running = parsed.running or false
    if not settled.running then
        need_apps(settled)
    end
    return settled
end

commands.status, commands.stop, commands.ps, commands.upgrade = with_config, with_config, with_config, with_config

local function with_wait(parsed)
    local settled = with_config(parsed)
    settled.wait = parsed.wait or false
    return settled
end

commands.reload, commands.restart = with_wait, with_wait

function commands.scale(parsed)
    local count = parsed.count:match("^%d+$") and tonumber(parsed.count)
    if not count or count < 1 or count > 256 then
        fault.raise(2, "scale: expected a number of workers from 1 to 256, got %s", parsed.count)
    end
    local settled = with_config(parsed)
    settled.count = count
    return settled
end

function commands.run(parsed)
    if parsed.trace then
        fault.raise(2, "run: --trace: timelines are not written yet")
    end
    if not files.exists(parsed.file) then
        fault.raise(1, "run: %s: no such file", parsed.file)
    end
    return { command = "run", file = parsed.file, args = parsed.args }
end

function commands.test(parsed)
    parsed.given, parsed.ignored = nil, nil
    return parsed
end

function commands.fetch(parsed)
    require("moonloop.cli.fetch_options").check(parsed)
    return { command = "fetch" }
end

function commands.lint()
    return { command = "lint" }
end

function commands.unit(parsed)
    return exit(require("moonloop.cli.unit").run(parsed, (with_config(parsed))))
end

function commands.dockerfile(parsed)
    return exit(require("moonloop.cli.dockerfile").run(parsed, (with_config(parsed)), M.lua_dir))
end

function commands.new(parsed)
    return exit(require("moonloop.cli.new").run(parsed.name, M.lua_dir))
end

function commands.version(parsed)
    return exit(require("moonloop.cli.version").run(M.version, parsed.json))
end

function commands.help(parsed)
    for _, kind in ipairs({ "man", "markdown", "bash" }) do
        if parsed[kind] then
            io.stdout:write(require("moonloop.cli.manual")[kind](M.version))
            return exit(0)
        end
    end
    local stream = parsed.is_lost and io.stderr or io.stdout
    stream:write(require("moonloop.cli.parser").help(parsed.topic))
    return exit(parsed.is_lost and 2 or 0)
end

---Prints the outcome of `check` or `routes`, once the C side has loaded the apps.
---@param settled table what main returned
---@return integer exit_code
function M.finish(settled, reports, routes)
    return require("moonloop.cli." .. settled.command).finish(settled, reports, routes)
end

---The half of `run`, `test` and `fetch` that happens in a task of the runtime, in a VM of its own.
---@param words string[] argv without the program, as main saw them
---@return integer exit_code
function M.task(words)
    local parsed = require("moonloop.cli.parser").parse(words)
    local is_users = parsed.command == "run" or parsed.command == "test"
    local problem = is_users and require("moonloop.cli.shared").settle()
    if problem then
        io.stderr:write("moonloop: ", problem, "\n")
        return 1
    end
    return require("moonloop.cli." .. parsed.command).run(parsed)
end

---@param version string of moonloop
---@param lua_dir string absolute
---@param words string[] argv without the program
---@return table
function M.main(version, lua_dir, words)
    M.version, M.lua_dir = version, lua_dir
    local ok, result = xpcall(function()
        local parsed = require("moonloop.cli.parser").parse(words)
        return commands[parsed.command](parsed)
    end, function(err)
        return fault.is(err) and err or debug.traceback(err, 2)
    end)
    if ok then
        result.lua_dir = lua_dir
        return result
    end
    if not fault.is(result) then
        error(result, 0)
    end
    return { command = "exit", exit_code = result.exit_code, message = result.message }
end

return M
