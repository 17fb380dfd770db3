--- luacheck over a tree, in this process.

local files = require("moonloop.cli.files")

local M = {}

local DIRECTORIES = { "lua", "apps", "spec", "bench" }

---Wants a .luacheckrc in the current directory: a project without one did not ask for it.
---@return boolean
function M.is_wanted()
    return files.exists(".luacheckrc")
end

---Runs luacheck on what is there of lua/, apps/, spec/ and bench/; prints each warning.
---@return boolean is_clean
function M.run()
    local has_luacheck, runner = pcall(require, "luacheck.runner")
    if not has_luacheck then
        io.stdout:write("luacheck: not installed (Debian: lua-check), so not run\n")
        return false
    end
    local paths = {}
    for _, directory in ipairs(DIRECTORIES) do
        if files.is_directory(directory) then
            paths[#paths + 1] = { path = directory }
        end
    end
    local checker, reason = runner.new({ quiet = 1, color = false, codes = true })
    local report
    if checker then
        report, reason = checker:check(paths)
    end
    if not report then
        io.stdout:write("luacheck: ", tostring(reason), "\n")
        return false
    end
    local problems = report.warnings + report.errors + report.fatals
    if problems > 0 then
        io.stdout:write(checker:format(report), "\n")
    end
    io.stdout:write(("luacheck: %d warnings in %d files\n"):format(problems, #report))
    return problems == 0
end

return M
