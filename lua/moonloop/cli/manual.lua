--- The man page, docs/options.md and bash's completion, made from the same tables as the command line itself.
--- `moonloop help --man`, `--markdown` and `--bash` print them; a spec fails when the kept copies are old.

local options = require("moonloop.cli.options")
local parser = require("moonloop.cli.parser")

local M = {}

---Text for roff: no line begins with a control character, dashes and backslashes stay what they are.
local function roff(text)
    return (text:gsub("\\", "\\e"):gsub("%-", "\\-"):gsub("\n([.'])", "\n\\&%1"))
end

---@param option moonloop.cli.Option
---@return string[] flags as the help shows them: short ones first
local function flags(option)
    local list = {}
    for _, flag in ipairs(option.flags or {}) do
        if #flag == 2 then
            table.insert(list, 1, flag)
        end
    end
    list[#list + 1] = options.flag(option)
    if option.type == "boolean" and option.default then
        list[#list + 1] = (options.flag(option):gsub("^%-%-", "--no-"))
    end
    return list
end

---@param version string
---@return string
function M.man(version)
    local out = {}
    local function add(line)
        out[#out + 1] = line
    end
    add(('.TH MOONLOOP 1 "" "moonloop %s" "User Commands"'):format(version))
    add(".SH NAME\nmoonloop \\- a server for handlers in Lua")
    add(".SH SYNOPSIS")
    for _, command in ipairs(parser.commands) do
        add((".B moonloop %s\n%s\n.br"):format(command.name, roff(command.usage)))
    end
    add(".SH DESCRIPTION")
    add("A C core runs one event loop per worker process and gives LuaJIT handlers sleep, an HTTP client")
    add("and threads, none of which block it. Scripts live in an apps directory and are reloaded as they")
    add("change.")
    add(".SH COMMANDS")
    for _, command in ipairs(parser.commands) do
        add((".TP\n.B %s\n%s"):format(command.name, roff(command.doc)))
    end
    add(".SH OPTIONS OF SERVE")
    add("Each is also a key of moonloop.conf.lua (a file that returns a table) and, in capitals with")
    add("MOONLOOP_ in front, an environment variable. The command line beats the environment beats the file.")
    for _, option in ipairs(options.list) do
        local metavar = options.metavar(option)
        local default = options.shown_default(option)
        add((".TP\n.B %s%s\n%s%s"):format(roff(table.concat(flags(option), ", ")),
            metavar and " \\fI" .. roff(metavar) .. "\\fR" or "", roff(option.doc),
            default ~= "" and roff(" (default: " .. default .. ")") or ""))
    end
    add(".SH FILES\n.TP\n.I moonloop.conf.lua\nConfiguration, looked for in the current directory.")
    add(".TP\n.I apps/\nThe apps: apps/index.lua is served at /, apps/NAME.lua and apps/NAME/init.lua at /NAME.")
    add(".SH EXIT STATUS\n0 on success, 1 when what was asked for failed, 2 when the words were wrong.")
    return table.concat(out, "\n") .. "\n"
end

---@return string
function M.markdown()
    local out = {
        "# Options of `moonloop serve`",
        "",
        "Made by `moonloop help --markdown` from `lua/moonloop/cli/options.lua`; edit that.",
        "",
        "Each option is a flag (`--max-body 4M`, dashes or underscores), an environment variable",
        "(`MOONLOOP_MAX_BODY=4M`) and a key of `moonloop.conf.lua` (`max_body = \"4M\"`). The command line",
        "beats the environment beats the file. Times are seconds; sizes are bytes, or have K, M or G behind.",
        "",
        "| option | flag | default | meaning |",
        "|---|---|---|---|",
    }
    for _, option in ipairs(options.list) do
        local default = options.shown_default(option)
        out[#out + 1] = ("| `%s` | `%s` | %s | %s |"):format(option.name,
            table.concat(flags(option), "`, `"), default == "" and "" or "`" .. default .. "`",
            (option.doc:gsub("|", "\\|")))
    end
    out[#out + 1] = ""
    out[#out + 1] = "Names of gunicorn's options that mean nothing here are explained at start-up and ignored:"
    local names = {}
    for name in pairs(require("moonloop.cli.foreign").reasons) do
        names[#names + 1] = "`" .. name .. "`"
    end
    table.sort(names)
    out[#out + 1] = table.concat(names, ", ") .. "."
    return table.concat(out, "\n") .. "\n"
end

local bash_template = [==[
# bash completion for moonloop; made by `moonloop help --bash`.
_moonloop() {
    local word=${COMP_WORDS[COMP_CWORD]}
    if ((COMP_CWORD == 1)); then
        mapfile -t COMPREPLY < <(compgen -W '@COMMANDS@' -- "$word")
    elif [[ $word == -* ]]; then
        local flags=
        case ${COMP_WORDS[1]} in
@CASES@
        esac
        mapfile -t COMPREPLY < <(compgen -W "$flags" -- "$word")
    else
        mapfile -t COMPREPLY < <(compgen -f -- "$word")
    fi
}
complete -o filenames -F _moonloop moonloop ./moonloop
]==]

---@return string
function M.bash()
    local names, cases = {}, {}
    for i, command in ipairs(parser.commands) do
        names[i] = command.name
        cases[i] = ("        %s) flags='%s' ;;"):format(command.name,
            table.concat(parser.flags(command.name), " "))
    end
    local words = { COMMANDS = table.concat(names, " "), CASES = table.concat(cases, "\n") }
    return (bash_template:gsub("@(%u+)@", words))
end

return M
