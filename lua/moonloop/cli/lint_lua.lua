--- luacheck over a tree, in this process.

local files = require("moonloop.cli.files")

local M = { name = "luacheck", settings = ".luacheckrc", package = "lua-check" }

local DIRECTORIES = { "lua", "apps", "spec", "bench" }

---Wants a .luacheckrc in the current directory: a project without one did not ask for it.
---@return boolean
function M.is_wanted()
    return files.exists(M.settings)
end

---Runs luacheck on what is there of lua/, apps/, spec/ and bench/.
---@return moonloop.cli.LintReport
function M.check()
    local has_luacheck, runner = pcall(require, "luacheck.runner")
    if not has_luacheck then
        return { failure = "not installed (Debian: lua-check), so not run" }
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
        return { failure = tostring(reason) }
    end
    local problems = report.warnings + report.errors + report.fatals
    return { problems = problems, files = #report, text = problems > 0 and checker:format(report) or "" }
end

return M
