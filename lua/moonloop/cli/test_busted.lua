--- busted's parts, put together in this process, so that specs run in a task and may sleep, fetch, offload and
--- call apps. Differs from the busted command: a spec that calls os.exit fails instead of ending the run.

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

local function default_output()
    return require("moonloop.cli.files").is_terminal(1) and "utfTerminal" or "plainTerminal"
end

---@param busted table
---@param options table
---@param paths string[]
local function load_parts(busted, options, paths)
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
    load_files(paths, { options.pattern or "_spec" },
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

---Runs specs here and shows what comes of them through a busted output handler.
---@param options table of the command line
---@param paths string[] files or directories
---@return moonloop.cli.TestCounts
function M.run(options, paths)
    package.path = "./?.lua;./?/init.lua;" .. package.path
    local busted = require("busted.core")()
    local counts = count_results(busted)
    without_exit(function()
        load_parts(busted, options, paths)
        local execute = require("busted.execute")(busted)
        execute(tonumber(options["repeat"]) or 1,
            { seed = options.seed, shuffle = options.shuffle, sort = false })
        busted.publish({ "exit" })
    end)
    return counts
end

return M
