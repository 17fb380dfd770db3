--- `moonloop lint [CHECKER…]`: the sources of a project under the checkers that it has settings for. In a task of
--- the runtime.
---
--- A checker runs where its settings file is: a project without one did not ask for it. Each is a module with
--- `name`, `settings` (the file), `package` (Debian's) and `check(context)`, which gives a report.

local files = require("moonloop.cli.files")

local M = {}

---@class moonloop.cli.LintReport
---@field problems? integer warnings and errors
---@field files? integer how many were looked at
---@field text? string what is wrong and where, lines
---@field note? string for the line that counts
---@field failure? string why it could not look

---@class moonloop.cli.LintContext
---@field build string the directory with compile_commands.json, or where one would be
---@field cache string a directory for what is known of earlier runs
---@field jobs integer how many programs may run at once

---Quick ones first.
---@return table[]
function M.checkers()
    local tools = require("moonloop.cli.lint_tools")
    return { require("moonloop.cli.lint_lua"), tools.clang_format, tools.shellcheck, tools.cppcheck,
        require("moonloop.cli.lint_tidy") }
end

---Runs one checker and prints what it has found.
---@param checker table
---@param context? moonloop.cli.LintContext
---@return boolean is_clean
function M.run_one(checker, context)
    local report = checker.check(context)
    if report.text and report.text ~= "" then
        io.stdout:write(report.text, report.text:sub(-1) == "\n" and "" or "\n")
    end
    if report.failure then
        io.stdout:write(checker.name, ": ", report.failure, "\n")
    else
        io.stdout:write(("%s: %d warnings in %d files%s\n"):format(checker.name, report.problems, report.files,
            report.note and (" (%s)"):format(report.note) or ""))
    end
    io.stdout:flush()
    return not report.failure and report.problems == 0
end

-- The build that this binary comes from, when it is one of this tree; else build/.
local function build_directory()
    local own = files.own_binary():match("^(.*)/[^/]*$")
    local commands = files.read(own .. "/compile_commands.json") or ""
    return commands:find('"' .. files.working_directory() .. "/", 1, true) and own or "build"
end

---@param options { names: string[], jobs?: string }
---@return moonloop.cli.LintContext
local function make_context(options)
    local build = build_directory()
    return {
        build = build,
        cache = files.environment().MOONLOOP_LINT_CACHE or build .. "/lint",
        jobs = tonumber(options.jobs) or require("moonloop.cli.lint_tools").processors(),
    }
end

---@param names string[] as given; none: all that have settings here
---@return table[]? chosen
---@return string? problem
local function choose(names)
    local by_name, known, chosen = {}, {}, {}
    for _, checker in ipairs(M.checkers()) do
        by_name[checker.name], known[#known + 1] = checker, checker.name
        if #names == 0 and files.exists(checker.settings) then
            chosen[#chosen + 1] = checker
        end
    end
    for _, name in ipairs(names) do
        if not by_name[name] then
            return nil, ("unknown checker %s%s (there are %s)"):format(name,
                require("moonloop.cli.suggest").hint(name, known), table.concat(known, ", "))
        end
        chosen[#chosen + 1] = by_name[name]
    end
    if #chosen == 0 then
        return nil, "nothing to check with: a checker runs where its settings file is, .luacheckrc for one"
    end
    return chosen
end

---@param options { names: string[], jobs?: string }
---@return integer exit_code 0; 1 when something was found or could not be looked for; 2 for wrong words
function M.run(options)
    local chosen, problem = choose(options.names)
    if chosen and options.jobs and not (options.jobs:match("^%d+$") and tonumber(options.jobs) >= 1) then
        problem = ("--jobs: expected a whole number from 1, got %s"):format(options.jobs)
    end
    if problem then
        io.stderr:write("moonloop: lint: ", problem, "\n")
        return 2
    end
    local context = make_context(options)
    local passed, failed = 0, {}
    for _, checker in ipairs(chosen) do
        if M.run_one(checker, context) then
            passed = passed + 1
        else
            failed[#failed + 1] = checker.name
        end
    end
    io.stdout:write(("lint: %d passed, %d failed%s"):format(passed, #failed,
        #failed > 0 and ": " .. table.concat(failed, ", ") or ""), "\n")
    return #failed > 0 and 1 or 0
end

return M
