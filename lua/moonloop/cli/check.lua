--- `moonloop check` and `moonloop routes`: what is wrong with the apps, and what they serve.
---
--- First every file is compiled and scanned, without running anything (`scan`). Then the C side loads all apps
--- as a worker would, and `finish` prints what came of it together with what the scan found.

local files = require("moonloop.cli.files")
local globals = require("moonloop.cli.globals")

local M = {}

---@class moonloop.cli.Problem
---@field file string as printed
---@field line integer 0: unknown
---@field message string

---How a path is printed: from the working directory where that is shorter.
---@param path string absolute
---@return string
function M.shown_path(path)
    local here = files.working_directory() .. "/"
    return path:sub(1, #here) == here and path:sub(#here + 1) or path
end

local function add(problems, file, line, message)
    problems[#problems + 1] = { file = file, line = line, message = message }
end

---@param problems moonloop.cli.Problem[]
---@param path string absolute
local function scan_file(problems, path)
    local shown = M.shown_path(path)
    local text, reason = files.read(path)
    if not text then
        add(problems, shown, 0, "cannot be read: " .. reason:gsub("^.*: ", ""))
        return
    end
    local chunk, failure = loadstring(text, "=" .. shown)
    if not chunk then
        local rest = failure:sub(#shown + 1)
        local line, message = rest:match("^:(%d+): (.*)$")
        add(problems, shown, tonumber(line) or 0, message or rest:gsub("^:%s*", ""))
        return
    end
    for _, use in ipairs(globals.undeclared(chunk)) do
        add(problems, shown, use.line, ("undeclared global %s is %s%s"):format(use.name, use.verb,
            use.name == "moonloop" and use.verb == "read"
            and '; begin the file with local moonloop = require("moonloop")' or ""))
    end
end

---@param apps_dir string absolute
---@return moonloop.cli.Problem[]
function M.scan(apps_dir)
    local problems = {}
    for _, path in ipairs(files.walk(apps_dir, ".lua")) do
        scan_file(problems, path)
        local app = path:match("^(.*)/init%.lua$")
        if app and files.exists(app .. ".lua") then
            add(problems, M.shown_path(path), 0, ("not loaded: %s is the same app"):format(
                M.shown_path(app .. ".lua")))
        end
    end
    return problems
end

---A file that an error names: errors name files from above the apps directory ("apps/shop.lua").
local function find_named(file, apps_dir)
    local full = files.absolute(file, apps_dir:match("^(.*)/[^/]+$") or "/")
    return files.exists(full) and full or files.absolute(file)
end

---The first place in one of the apps' own files that a traceback names.
local function find_place(text, apps_dir)
    for file, line in text:gmatch("([^%s:]+%.lua):(%d+):") do
        local full = find_named(file, apps_dir)
        if full:sub(1, #apps_dir + 1) == apps_dir .. "/" then
            return full, tonumber(line)
        end
    end
end

---Where an app that does not load is at fault, and why.
---@param report { name: string, error: string }
---@param apps_dir string absolute
---@return string file as printed
---@return integer line 0: unknown
---@return string message
local function locate(report, apps_dir)
    local first = report.error:match("^[^\n]*")
    local file, line, message = first:match("^(.-%.lua):(%d+): (.*)$")
    if not file then
        file, message = first:match("^(.-%.lua): (.*)$")
    end
    if file then
        return M.shown_path(find_named(file, apps_dir)), tonumber(line) or 0, message
    end
    file, line = find_place(report.error, apps_dir)
    if not file then
        file = ("%s/%s.lua"):format(apps_dir, report.name)
        file = files.exists(file) and file or ("%s/%s/init.lua"):format(apps_dir, report.name)
    end
    return M.shown_path(file), line or 0, first
end

---Whether the scan has already said something about this line.
local function is_known(problems, file, line)
    for _, problem in ipairs(problems) do
        if problem.file == file and problem.line == line then
            return true
        end
    end
    return false
end

---@param problems moonloop.cli.Problem[] gets what is new in the reports
---@param reports { name: string, is_ok: boolean, error: string }[]
---@param apps_dir string absolute
local function add_reports(problems, reports, apps_dir)
    for _, report in ipairs(reports) do
        if not report.is_ok then
            local file, line, message = locate(report, apps_dir)
            if not is_known(problems, file, line) then
                add(problems, file, line, message)
            end
        end
    end
end

local function print_problem(problem)
    local place = problem.line > 0 and ("%s:%d"):format(problem.file, problem.line) or problem.file
    io.stdout:write(place, ": ", problem.message, "\n")
end

local function counted(count, noun)
    return ("%d %s%s"):format(count, noun, count == 1 and "" or "s")
end

---@param options table the settled options, with `problems` of the scan and `config_faults`
---@param reports { name: string, is_ok: boolean, error: string }[]
---@param routes table[] as in routes.lua
---@return integer exit_code
function M.finish(options, reports, routes)
    local problems = options.problems
    add_reports(problems, reports, options.apps_dir)
    table.sort(problems, function(a, b)
        if a.file ~= b.file then
            return a.file < b.file
        end
        if a.line ~= b.line then
            return a.line < b.line
        end
        return a.message < b.message
    end)
    for _, fault in ipairs(options.config_faults) do
        io.stdout:write(fault, "\n")
    end
    for _, problem in ipairs(problems) do
        print_problem(problem)
    end
    local total = #problems + #options.config_faults
    if total > 0 then
        io.stderr:write("moonloop: ", counted(total, "problem"), "\n")
        return 1
    end
    io.stdout:write(("all well: %s, %s\n"):format(counted(#reports, "app"), counted(#routes, "route")))
    return 0
end

return M
