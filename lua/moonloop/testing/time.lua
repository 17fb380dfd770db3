--- Time and order in specs: `testing.virtual`, whose clock jumps when everything waits, and `testing.explore`,
--- which runs a function in many orders of its tasks.

local chance = require("moonloop.sync.chance")
local clock = require("moonloop.clock")
local core = require("moonloop.core.clock")
local errors = require("moonloop.util.errors")
local options_of = require("moonloop.options")
local task = require("moonloop.task")

local M = {}

local WAITING_SHOWN = 20
local RUNS_MAX = 1000000
local SEED_MAX = 2 ^ 31 - 1

---Called when nothing can go on any more, outside of any task.
---@param waiting string[]
local function on_stuck(waiting)
    local lines = {}
    for i = 1, math.min(#waiting, WAITING_SHOWN) do
        lines[i] = "\n  " .. waiting[i]
    end
    if #waiting > WAITING_SHOWN then
        lines[#lines + 1] = ("\n  and %d more"):format(#waiting - WAITING_SHOWN)
    end
    return errors.new("deadlock", "everything waits, and neither a timer nor anything outside will end it:"
        .. table.concat(lines), { waiting = waiting })
end

---Runs `fn()` with a clock that stands still while code runs and jumps to the next timer when everything waits:
---`moonloop.sleep`, `moonloop.now`, deadlines, `every` and cron take no time. What happens outside this process (a
---socket, a thread, a process) is waited for in real time first. Tasks that `fn` spawned and did not wait for are
---cancelled when it ends; the clock is real again afterwards, whether it failed or not.
---Raises what `fn` raises; `deadlock`, with the list `waiting`, when everything waits and no timer and nothing outside
---is left; `misuse` when virtual time is on already.
---@param options { start?: number } what the time of day is at the beginning, as Unix time; default: now
---@param fn fun(): any
---@return any ... what `fn` returned
---@overload fun(fn: fun(): any): any
function M.virtual(options, fn)
    if type(options) == "function" and fn == nil then
        options, fn = {}, options
    end
    if type(options) ~= "table" or type(fn) ~= "function" then
        error("virtual: expected a function, or options and a function", 2)
    end
    options_of.check("virtual", options, { start = "number" }, 2)
    local virtual
    -- A task of its own, so that what `fn` spawns and does not wait for ends with it, in virtual time.
    local results, err = task.enclose(nil, true, false, function(scope)
        return scope:spawn("testing.virtual", function()
            virtual = core.virtual_start(options.start or clock.wall(), on_stuck)
            return fn()
        end):wait()
    end)
    if virtual then
        core.virtual_stop(virtual)
    end
    if err ~= nil then
        error(err, 0)
    end
    return unpack(results, 2, results.n)
end

---One run of `explore`, as a value and not raised: what went wrong, or nil.
local function run_once(fn, seed, is_virtual)
    math.randomseed(seed)
    chance.seed(seed)
    core.shuffle(seed)
    local ok, err
    if is_virtual then
        ok, err = pcall(M.virtual, fn)
    else
        ok, err = pcall(task.scope, fn)
    end
    core.shuffle(0)
    return not ok and (err == nil and "error(nil)" or err) or nil
end

local function raise_found(err, seed, run, runs)
    local order = seed == 0 and "the order of arrival" or ("the order of seed %d"):format(seed)
    local what = ("explore: run %d of %d, in %s, failed: %s"):format(run, runs, order, errors.message(err))
    local advice = "to replay it: testing.explore({ seed = %d }, fn), or set MOONLOOP_SEED=%d"
    error(errors.new("explore", what .. "\n" .. advice:format(seed, seed), {
        seed = seed, cause = err, traceback = errors.is(err) and err.traceback or nil, is_traced = errors.is(err),
    }), 0)
end

local function check_explore(options, fn)
    if type(options) == "number" then
        options = { runs = options }
    end
    if type(options) ~= "table" or type(fn) ~= "function" then
        error("explore: expected a number of runs, or options, and a function", 3)
    end
    options_of.check("explore", options, { runs = "number", seed = "number", virtual = "boolean" }, 3)
    local runs, seed = options.runs or 100, options.seed or tonumber(os.getenv("MOONLOOP_SEED"))
    if not (runs >= 1 and runs <= RUNS_MAX) then
        error(("explore: expected 1 to %d runs, got %s"):format(RUNS_MAX, tostring(runs)), 3)
    elseif seed and not (seed >= 0 and seed <= SEED_MAX and seed % 1 == 0) then
        error(("explore: expected a seed from 0 to %d, got %s"):format(SEED_MAX, tostring(seed)), 3)
    end
    return math.floor(runs), seed, options.virtual ~= false
end

---Runs `fn()` many times, each in virtual time, and each time lets the tasks that are ready run in another order: what
---depends on luck fails in one of them. The first run is in the order of arrival, as always; a seed decides each of
---the others, and what math.random gives. Raises `explore` for the first run that fails, with its `seed` and `cause`;
---the message says how to replay it.
---@param options integer|{ runs?: integer, seed?: integer, virtual?: boolean } how many runs (100); `seed`: only
---  that order, also by MOONLOOP_SEED; `virtual = false`: in real time
---@param fn fun(): any may spawn; what it does not wait for is cancelled when it ends
---@return integer runs
function M.explore(options, fn)
    local runs, seed, is_virtual = check_explore(options, fn)
    if seed then
        local err = run_once(fn, seed, is_virtual)
        if err ~= nil then
            raise_found(err, seed, 1, 1)
        end
        return 1
    end
    local first = math.floor(clock.wall() * 1000) % (SEED_MAX - RUNS_MAX) -- others each time
    for run = 1, runs do
        seed = run == 1 and 0 or first + run
        local err = run_once(fn, seed, is_virtual)
        if err ~= nil then
            raise_found(err, seed, run, runs)
        end
    end
    return runs
end

return M
