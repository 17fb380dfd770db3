--- `moonloop test [PATH...]`: specs of busted, run inside the runtime, and luacheck over the tree.
---
--- Each spec file has a process of its own (cli/test_processes.lua), `--jobs` of them at once. With `--jobs 0`, and
--- for the output handlers of busted, all files share this process, and what they write is not held back.
--- The last line is `N passed, N failed, N skipped`.

local ffi = require("ffi")

ffi.cdef("int sched_getaffinity(int pid, size_t bytes, uint8_t *mask);")

local M = {}

local MAX_JOBS = 64

---@return integer processors that this process may use
local function count_processors()
    local mask, count = ffi.new("uint8_t[128]"), 0
    ffi.C.sched_getaffinity(0, 128, mask)
    for i = 0, 127 do
        for b = 0, 7 do
            count = count + bit.band(bit.rshift(mask[i], b), 1)
        end
    end
    return math.max(count, 1)
end

---@param text? string as it was given
---@param default integer
---@return integer? jobs
local function read_jobs(text, default)
    if text == "auto" then
        return math.min(count_processors(), MAX_JOBS)
    end
    local jobs = tonumber(text or default)
    return jobs and jobs % 1 == 0 and jobs >= 0 and jobs <= MAX_JOBS and jobs or nil
end

---Makes numbers of what was given.
---@return string? problem
local function settle(options)
    local given, output = options.jobs, options.output
    options.jobs = read_jobs(given, output and 0 or 1)
    if not options.jobs then
        return ("--jobs: expected a number from 0 to %d, or auto, got %s"):format(MAX_JOBS, given)
    elseif output and options.jobs > 0 then
        return "--output: an output handler of busted sees one process: leave --jobs out, or give --jobs 0"
    end
    for _, name in ipairs({ "timeout", "repeat", "slow", "seed" }) do
        local number = tonumber(options[name])
        if options[name] and not (number and number >= 0) then
            return ("--%s: expected a number, got %s"):format(name, options[name])
        end
    end
    options.timeout = tonumber(options.timeout)
    if options.shuffle and not options.seed then
        options.seed = tostring(os.time() % 1000000)
    end
    return nil
end

---@param counts moonloop.cli.TestCounts
local function add_lint(counts)
    local lint = require("moonloop.cli.lint")
    local column = lint.run_one(require("moonloop.cli.lint_lua")) and "passed" or "failed"
    counts[column] = counts[column] + 1
end

---Runs the specs in processes.
---@param options table
---@param is_linted boolean
---@return moonloop.cli.TestCounts
---@return boolean is_without_tests
local function run_in_processes(options, is_linted)
    local processes = require("moonloop.cli.test_processes")
    local paths, missing = processes.find(options.paths, options.pattern)
    if options.shuffle then
        processes.shuffle(paths, tonumber(options.seed))
    end
    local report = require("moonloop.cli.test_report").new(paths, options)
    processes.run(paths, options, report)
    local counts = report:count()
    local is_without_tests = counts.passed + counts.failed + counts.skipped == 0
    if is_linted then
        add_lint(counts)
    end
    report:finish()
    for _, path in ipairs(missing) do
        io.stdout:write(path, ": no such file or directory\n")
        counts.failed = counts.failed + 1
    end
    return counts, is_without_tests and #missing == 0
end

---@param options table
---@param is_linted boolean
---@return moonloop.cli.TestCounts
---@return boolean is_without_tests
local function run_here(options, is_linted)
    local counts = require("moonloop.cli.test_busted").run(options, options.paths)
    local is_without_tests = counts.passed + counts.failed + counts.skipped == 0
    if is_linted then
        add_lint(counts)
    end
    return counts, is_without_tests
end

---@param options table of the command line: paths (empty: spec, and luacheck), filter, tags, ...
---@return integer exit_code 0; 1 when something failed or no test ran; 2 for options that cannot be
function M.run(options)
    local has_busted, reason = pcall(require, "busted.core")
    if not has_busted then
        io.stderr:write("moonloop: test: busted cannot be loaded (Debian: lua-busted): ", reason, "\n")
        return 1
    end
    if options.events then
        options.output = "moonloop.cli.test_events"
        require("moonloop.cli.test_busted").run(options, options.paths)
        return 0 -- what failed has been told; any other end is a crash
    end
    local problem = settle(options)
    if problem then
        io.stderr:write("moonloop: test: ", problem, "\n")
        return 2
    end
    local is_everything = #options.paths == 0
    options.paths = is_everything and { "spec" } or options.paths
    local is_linted = is_everything and not options.no_lint and require("moonloop.cli.lint_lua").is_wanted()
    local run = options.jobs == 0 and run_here or run_in_processes
    local counts, is_without_tests = run(options, is_linted)
    if is_without_tests then
        io.stdout:write("no test ran\n")
    end
    if options.shuffle then
        io.stdout:write("order of --seed ", options.seed, "\n")
    end
    io.stdout:write(("%d passed, %d failed, %d skipped\n"):format(counts.passed, counts.failed, counts.skipped))
    io.stdout:flush()
    return (counts.failed > 0 or is_without_tests) and 1 or 0
end

return M
