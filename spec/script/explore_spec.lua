local moonloop = require("moonloop")
local process = require("spec.support.process")
local server = require("spec.support.server")
local testing = require("moonloop.testing")

local explore = testing.explore

--- Two tasks that add one to a counter.
---@param is_careful boolean whether reading and writing are one step
---@param pause number how long the first waits before it begins
local function counting(is_careful, pause)
    return function()
        local count = 0
        local function add()
            local read = count
            if not is_careful then
                moonloop.sleep(0) -- the other one may run here
            end
            count = read + 1
        end
        moonloop.gather(function() moonloop.sleep(pause) add() end, add)
        assert(count == 2, "an update was lost")
    end
end

--- Fails only when the second of three overtakes the first.
local function overtaking()
    local order = {}
    moonloop.map({ 1, 2, 3 }, function(number)
        moonloop.sleep(1)
        order[#order + 1] = number
    end)
    assert(not (order[1] == 2 and order[2] == 1), "overtaken")
end

describe("testing.explore", function()
    it("finds a lost update at once, and passes what is careful", function()
        local ok, err = pcall(explore, 100, counting(false, 0))
        assert.same({ false, "explore", 0 }, { ok, err.code, err.seed })
        assert.matches("run 1 of 100, in the order of arrival, failed: .*an update was lost", err.message)
        assert.equal(100, explore(100, counting(true, 0)))
        assert.equal(100, explore({ runs = 100, virtual = false }, counting(true, 0)))
    end)

    it("finds what goes wrong only in some orders, and says how to replay it", function()
        overtaking() -- in the order of arrival all is well
        local ok, err = pcall(explore, 1000, overtaking)
        assert.same({ false, "explore" }, { ok, err.code })
        assert.is_true(err.seed > 0)
        assert.matches("overtaken", err.cause.message)
        local advice = "replay it: testing.explore({ seed = %d }, fn), or set MOONLOOP_SEED=%d"
        assert.matches(advice:format(err.seed, err.seed), err.message, 1, true)
        for _ = 1, 3 do
            local replayed, again = pcall(explore, { seed = err.seed }, overtaking)
            assert.same({ false, err.seed }, { replayed, again.seed })
        end
    end)

    it("runs once, in the order of arrival, with the seed 0", function()
        local runs = 0
        assert.equal(1, explore({ seed = 0 }, function() runs = runs + 1 overtaking() end))
        assert.equal(1, runs)
    end)

    it("gives math.random the seed as well", function()
        local drawn = {}
        for i = 1, 2 do
            explore({ seed = 7 }, function() drawn[i] = math.random(1e6) end)
        end
        assert.equal(drawn[1], drawn[2])
    end)

    it("draws other orders each time", function()
        local seen, count = {}, 0
        explore(1000, function()
            local order = {}
            moonloop.map({ "a", "b", "c", "d" }, function(name) order[#order + 1] = name end)
            local text = table.concat(order)
            count = count + (seen[text] and 0 or 1)
            seen[text] = true
        end)
        assert.equal(24, count) -- 4!
    end)

    it("does not touch the order of what comes afterwards", function()
        pcall(explore, 10, function() error("failed") end)
        explore(3, function() end)
        local order = {}
        moonloop.map({ 1, 2, 3, 4, 5, 6 }, function(number) order[#order + 1] = number end)
        assert.same({ 1, 2, 3, 4, 5, 6 }, order)
    end)

    it("refuses what it does not understand", function()
        for _, wrong in ipairs({
            { "many", "expected a number of runs" }, { 0, "expected 1 to 1000000 runs, got 0" },
            { { rounds = 3 }, "unknown option rounds" }, { { seed = 1.5 }, "expected a seed from 0 to" },
            { { seed = -1 }, "expected a seed" }, { 0 / 0, "runs, got" },
        }) do
            local ok, err = pcall(function() explore(wrong[1], print) end)
            assert.is_false(ok)
            assert.matches("explore_spec.lua:%d+: explore: ", err)
            assert.matches(wrong[2], err, 1, true)
        end
    end)
end)

describe("MOONLOOP_SEED", function()
    after_each(process.clean)

    it("replays one order", function()
        local dir = process.directory()
        process.write(dir .. "/orders.lua", [[
            local moonloop, testing = require("moonloop"), require("moonloop.testing")
            print(testing.explore(50, function()
                local order = {}
                moonloop.map({ 1, 2, 3, 4, 5, 6, 7, 8 }, function(number) order[#order + 1] = number end)
                print(table.concat(order))
            end))
        ]])
        local printed = {}
        for i = 1, 2 do
            local words = { server.binary, "run", dir .. "/orders.lua" }
            local run = process.run(words, { env = { MOONLOOP_SEED = "4711" } })
            assert.equal(0, run.code, run.err)
            printed[i] = run.out
        end
        assert.equal(printed[1], printed[2])
        assert.matches("^%d+\n1\n$", printed[1])
        assert.not_matches("^12345678", printed[1])
    end)
end)
