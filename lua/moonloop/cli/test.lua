--- `moonloop test [PATH…]`: busted's parts, put together inside the runtime, so that specs run in a task and
--- may sleep, fetch, offload and call apps.
---
--- Differs from the busted command in three ways. A spec that calls os.exit fails instead of ending the run.
--- Files are not insulated from each other (`insulate` blocks are there): an FFI declaration cannot be taken
--- back, so a module that makes one cannot be loaded twice. The last line is `N passed, N failed, N skipped`.

local M = {}

---@class moonloop.cli.TestCounts
---@field passed integer
---@field failed integer
---@field skipped integer

---@param text? string words with commas between
---@return string[]
local function split(text)
    local items = {}
    for item in (text or ""):gmatch("[^,]+") do
        items[#items + 1] = item
    end
    return items
end

---@param busted table
---@return moonloop.cli.TestCounts counts filled while the tests run
local function count_results(busted)
    local counts = { passed = 0, failed = 0, skipped = 0 }
    local columns = { success = "passed", pending = "skipped", failure = "failed", error = "failed" }
    busted.subscribe({ "test", "end" }, function(_, _, status)
        local column = columns[status] or "failed"
        counts[column] = counts[column] + 1
        return nil, true
    end)
    -- What fails outside of a test: a file that does not load, a set-up that raises.
    local function outside(element)
        if element.descriptor ~= "it" then
            counts.failed = counts.failed + 1
        end
        return nil, true
    end
    busted.subscribe({ "error" }, outside)
    busted.subscribe({ "failure" }, outside)
    return counts
end

--- How long each test and each file took.
---@class moonloop.cli.TestTimes
---@field tests { name: string, seconds: number }[]
---@field files { name: string, seconds: number }[]

---@param busted table
---@return moonloop.cli.TestTimes times filled while the tests run
local function measure_times(busted)
    local times = { tests = {}, files = {} }
    local function collect(list, name_of)
        return function(element)
            list[#list + 1] = { name = name_of(element), seconds = element.duration or 0 }
            return nil, true
        end
    end
    busted.subscribe({ "test", "end" }, collect(times.tests, function(element)
        local trace = element.trace or {}
        return ("%s:%s: %s"):format(trace.short_src or "?", trace.currentline or "?", element.name)
    end))
    busted.subscribe({ "file", "end" }, collect(times.files, function(element)
        return element.name
    end))
    return times
end

---@param list { name: string, seconds: number }[]
---@param count integer
local function print_slowest(list, count)
    table.sort(list, function(a, b)
        return a.seconds > b.seconds
    end)
    for i = 1, math.min(count, #list) do
        io.stdout:write(("%8.2f s  %s\n"):format(list[i].seconds, list[i].name))
    end
end

local function default_output()
    return require("moonloop.cli.files").is_terminal(1) and "utfTerminal" or "plainTerminal"
end

---@param busted table
---@param options table
local function load_parts(busted, options)
    require("busted")(busted)
    busted.register("file", "file", {})
    busted.randomize = options.shuffle or false
    busted.randomseed = tonumber(options.seed) or os.time()
    local output = options.output or default_output()
    require("busted.modules.output_handler_loader")()(busted, output, {
        defaultOutput = "plainTerminal", verbose = options.verbose, language = "en", arguments = {},
        deferPrint = false, suppressPending = false,
    })
    require("busted.luajit")()
    require("busted.modules.filter_loader")()(busted, {
        tags = split(options.tags), excludeTags = split(options.exclude_tags),
        filter = { options.filter }, filterOut = { options.filter_out },
        nokeepgoing = false, suppressPending = false,
    })
    local load_files = require("busted.modules.test_file_loader")(busted, { "lua" })
    load_files(options.paths, { options.pattern or "_spec" },
        { excludes = {}, verbose = options.verbose, recursive = true })
end

---Runs `fn` while os.exit raises.
local function without_exit(fn)
    local exit = os.exit
    -- luacheck: push ignore 122 (a spec must not end the run, whatever it calls)
    os.exit = function()
        error("os.exit was called in a spec", 2)
    end
    local ok, err = xpcall(fn, debug.traceback)
    os.exit = exit
    -- luacheck: pop
    if not ok then
        error(err, 0)
    end
end

---@param options table of the command line
---@return moonloop.cli.TestCounts
function M.run_specs(options)
    package.path = "./?.lua;./?/init.lua;" .. package.path
    local busted = require("busted.core")()
    local counts = count_results(busted)
    local times = measure_times(busted)
    without_exit(function()
        load_parts(busted, options)
        local execute = require("busted.execute")(busted)
        execute(tonumber(options["repeat"]) or 1,
            { seed = options.seed, shuffle = options.shuffle, sort = false })
        busted.publish({ "exit" })
    end)
    local slow = tonumber(options.slow) or 0
    print_slowest(times.tests, slow)
    print_slowest(times.files, slow)
    return counts
end

---@param options table of the command line: paths (empty: spec, and luacheck), filter, tags, ...
---@return integer exit_code 0; 1 when something failed or no test ran
function M.run(options)
    local has_busted, reason = pcall(require, "busted.core")
    if not has_busted then
        io.stderr:write("moonloop: test: busted cannot be loaded (Debian: lua-busted): ", reason, "\n")
        return 1
    end
    local luacheck = require("moonloop.cli.lint_lua")
    local is_everything = #options.paths == 0
    options.paths = is_everything and { "spec" } or options.paths
    local counts = M.run_specs(options)
    local is_without_tests = counts.passed + counts.failed + counts.skipped == 0
    if is_everything and not options.no_lint and luacheck.is_wanted() then
        local column = require("moonloop.cli.lint").run_one(luacheck) and "passed" or "failed"
        counts[column] = counts[column] + 1
    end
    if is_without_tests then
        io.stdout:write("no test ran\n")
    end
    io.stdout:write(("%d passed, %d failed, %d skipped\n"):format(counts.passed, counts.failed,
        counts.skipped))
    io.stdout:flush()
    return (counts.failed > 0 or is_without_tests) and 1 or 0
end

return M
