--- The checkers that are programs of their own and quick enough to look at everything each time: clang-format,
--- shellcheck and cppcheck.

local ffi = require("ffi")
local files = require("moonloop.cli.files")
local process = require("moonloop.process")
local try = require("moonloop").try

ffi.cdef([[long sysconf(int name);]])

local PROCESSORS_ONLINE = 84 -- _SC_NPROCESSORS_ONLN

local M = {}

---@return integer
function M.processors()
    return math.max(1, tonumber(ffi.C.sysconf(PROCESSORS_ONLINE)))
end

-- What was made or fetched, not written here.
local function is_foreign(name)
    return name:match("^%.") or name:match("^build") or name == "node_modules" or name == "corpus"
end

local function walk(directory, is_wanted, found)
    for _, name in ipairs(files.list(directory)) do
        local path = directory == "." and name or directory .. "/" .. name
        if is_foreign(name) and path ~= ".ci" then
            found = found
        elseif files.is_directory(path) then
            walk(path, is_wanted, found)
        elseif is_wanted(path) then
            found[#found + 1] = path
        end
    end
    return found
end

---@param is_wanted fun(path: string): any
---@return string[] paths below the current directory, without what is hidden, built or a corpus; .ci/ counts
function M.sources(is_wanted)
    return walk(".", is_wanted, {})
end

---Runs a program of the checker's package.
---@param checker table
---@param argv string[]
---@param options? moonloop.process.Options
---@return moonloop.process.Result?
---@return moonloop.cli.LintReport? failure
function M.run(checker, argv, options)
    local result, err = try(process.run, argv, options)
    if result then
        return result
    elseif err.code == "not_found" then
        return nil, { failure = ("not installed (Debian: %s), so not run"):format(checker.package) }
    end
    return nil, { failure = err.message }
end

local function count(text, pattern)
    return select(2, text:gsub(pattern, ""))
end

-- One run over all files. What it writes counts by its lines that match; it must say so when it fails otherwise.
local function check_all(checker, argv, paths, stream, pattern)
    if #paths == 0 then
        return { problems = 0, files = 0 }
    end
    for _, path in ipairs(paths) do
        argv[#argv + 1] = path
    end
    local result, failure = M.run(checker, argv)
    if not result then
        return failure
    end
    local text = result[stream]
    local problems = count(text, pattern)
    if problems == 0 and not result.ok then
        return { failure = ("ended with %s: %s"):format(result.status or result.signal, result.stderr) }
    end
    return { problems = problems, files = #paths, text = problems > 0 and text or nil }
end

M.clang_format = { name = "clang-format", settings = ".clang-format", package = "clang-format" }

---@return moonloop.cli.LintReport
function M.clang_format.check()
    local paths = M.sources(function(path)
        return path:match("%.[ch]$")
    end)
    return check_all(M.clang_format, { "clang-format", "--dry-run", "--Werror" }, paths, "stderr", ": error: ")
end

M.shellcheck = { name = "shellcheck", settings = ".shellcheckrc", package = "shellcheck" }

local function is_shell_script(path)
    local file = path:match("^[^.]+$") or path:match("%.sh$") or path:match("^%.ci/")
    file = file and io.open(path, "rb")
    local first = file and file:read(64)
    if file then
        file:close()
    end
    return first and first:match("^#![^\n]*[/ ][bd]?a?sh%s")
end

---@return moonloop.cli.LintReport
function M.shellcheck.check()
    return check_all(M.shellcheck, { "shellcheck", "--format=gcc" }, M.sources(is_shell_script), "stdout",
        ": %l+: [^\n]*%[SC%d+%]")
end

M.cppcheck = { name = "cppcheck", settings = ".cppcheck", package = "cppcheck" }

---Its words are the lines of .cppcheck that are not comments, paths among them. It remembers files that have not
---changed.
---@param context moonloop.cli.LintContext
---@return moonloop.cli.LintReport
function M.cppcheck.check(context)
    local memory = context.cache .. "/cppcheck"
    local argv = { "cppcheck", "--quiet", "--error-exitcode=1", "--inline-suppr", "-j" .. context.jobs,
        "--cppcheck-build-dir=" .. memory, "--template={file}:{line}:{column}: {severity}: {message} [{id}]" }
    local paths = {}
    files.make_directory(memory)
    for line in (files.read(M.cppcheck.settings) or ""):gmatch("[^\n]+") do
        line = line:match("^%s*(.-)%s*$")
        if line:sub(1, 1) == "-" then
            argv[#argv + 1] = line
        elseif line ~= "" and line:sub(1, 1) ~= "#" then
            paths[#paths + 1] = line
        end
    end
    local report = check_all(M.cppcheck, argv, paths, "stderr", ": %l+: [^\n]*%[%a+%]\n")
    report.files = report.files and #M.sources(function(path)
        return path:match("%.c$")
    end)
    return report
end

return M
