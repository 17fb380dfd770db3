--- `moonloop test` as a user sees it: what it prints and how it exits.

local command = require("spec.support.command")
local process = require("spec.support.process")

local FAILING = [[
local log = require("moonloop").log
describe("a shop", function()
    it("is right", function() log.warn("logged by what is right") end)
    it("is wrong", function() log.warn("logged by what is wrong") assert.equal(1, 2) end)
    it("raises", function() error("no stock") end)
    it("is not written", function() pending("next week") end)
end)
]]

describe("moonloop test", function()
    local dir

    before_each(function()
        dir = process.directory()
    end)

    after_each(process.clean)

    local function write(name, text)
        command.write(dir .. "/spec/" .. name, text)
    end

    local function example(body)
        return ("describe('it', function() it('goes', function() %s end) end)"):format(body)
    end

    ---@param ... string words of the command line
    local function test(...)
        return command.call({ "test", ... }, { cwd = dir })
    end

    it("shows what failed last, with the output that belongs to it, and nothing of what passed", function()
        write("shop_spec.lua", FAILING)
        local result = test()
        assert.equal(1, result.code)
        assert.equal("", result.err)
        assert.matches("^%+%-%*%.\n", result.out)
        assert.matches("failed  spec/shop_spec.lua:4: a shop is wrong\n    spec/shop_spec.lua:4: Expected", result.out)
        assert.matches("\n    output:\n      [^\n]* warn  logged by what is wrong\n\nfailed  ", result.out)
        assert.matches("failed  spec/shop_spec.lua:5: a shop raises\n    spec/shop_spec.lua:5: no stock\n" ..
            "    traceback:\n      spec/shop_spec.lua:5: ", result.out)
        assert.matches("skipped  spec/shop_spec.lua:6: a shop is not written: spec/shop_spec.lua:6: next week\n",
            result.out)
        assert.matches("\nfailed: 2\n    spec/shop_spec.lua:4: a shop is wrong\n" ..
            "    spec/shop_spec.lua:5: a shop raises\n1 passed, 2 failed, 1 skipped\n$", result.out)
        assert.not_matches("what is right", result.out)
    end)

    it("runs files at once and shows them in their order", function()
        local waits = "require('moonloop').sleep(%s) print('%s')"
        for i, seconds in ipairs({ 0.4, 0.2, 0.01 }) do
            write(("%d_spec.lua"):format(i), example(waits:format(seconds, "file " .. i)))
        end
        local result = test("-j", "3")
        assert.equal("file 1\n+file 2\n+file 3\n+\n3 passed, 0 failed, 0 skipped\n", result.out)
        assert.equal(0, result.code)
    end)

    it("has as many files running as it was told, and no more", function()
        local body = [[
            local process, socket = require("posix.unistd"), require("socket")
            local path = "running." .. process.getpid()
            io.open(path, "w"):close()
            socket.sleep(0.1)
            local count = 0
            for name in require("posix.dirent").files(".") do
                count = count + (name:find("^running") and 1 or 0)
            end
            os.remove(path)
            print(count)]]
        for i = 1, 6 do
            write(("%d_spec.lua"):format(i), example(body))
        end
        assert.not_matches("[2-9]\n%+", test("-j", "1").out)
        assert.not_matches("[4-9]\n%+", test("--jobs=3").out)
        assert.equal(0, test("-j", "auto").code)
    end)

    it("goes on after a file that crashes, and says in which example", function()
        write("a_spec.lua", [[describe("memory", function()
            it("is there", function() end)
            it("is not there", function() io.stderr:write("about to\n") require("ffi").cast("int *", 8)[0] = 1 end)
            it("is never asked", function() end)
        end)]])
        write("b_spec.lua", example(""))
        local result = test()
        assert.equal(1, result.code)
        assert.matches("failed  spec/a_spec.lua:3: memory is not there\n" ..
            "    its process [^\n]*, in this example\n", result.out)
        assert.matches("\n    output:\n      about to\n", result.out)
        assert.matches("\n2 passed, 1 failed, 0 skipped\n$", result.out)
    end)

    it("ends a file that takes longer than it may", function()
        write("a_spec.lua", example("require('moonloop').log.info('waits') require('moonloop').sleep(60)"))
        local result = test("--timeout", "3")
        assert.equal(1, result.code)
        assert.matches("failed  spec/a_spec.lua:1: it goes\n    it took longer than %-%-timeout allows", result.out)
        assert.matches(" info  waits\n", result.out)
    end)

    it("shows what ThreadSanitizer found meanwhile, when only the exit code tells of it", function()
        write("a_spec.lua", "it('races', function() io.stderr:write('WARNING: ThreadSanitizer: data race\\n" ..
            "  Write of size 8\\n') end)\nit('goes on', function() io.stderr:write(('more\\n'):rep(60)) end)\n" ..
            "local guard = newproxy(true)\ngetmetatable(guard).__gc = function()" ..
            " require('posix.unistd')._exit(66) end\n_G.kept = guard")
        local result = test()
        assert.equal(1, result.code)
        assert.matches("exited with 66, after its last example\n    output:\n" ..
            "      WARNING: ThreadSanitizer: data race\n        Write of size 8\n", result.out)
    end)

    it("fails for a process that does not end well after its last example", function()
        write("a_spec.lua", "local guard = newproxy(true)\ngetmetatable(guard).__gc = function()" ..
            " io.stderr:write('too late\\n') require('posix.unistd')._exit(23) end\n" .. example("") ..
            "\n_G.kept = guard")
        local result = test()
        assert.equal(1, result.code)
        assert.matches("failed  spec/a_spec.lua\n    its process exited with 23, after its last example\n" ..
            "    output:\n      too late\n", result.out)
    end)

    it("names what fails outside of an example", function()
        write("a_spec.lua", "describe('x', function()")
        write("b_spec.lua", [[describe("x", function()
            after_each(function() error("left") end)
            it("y", function() end)
        end)]])
        local result = test()
        assert.matches("failed  spec/a_spec.lua: spec/a_spec.lua\n    spec/a_spec.lua:1: 'end' expected", result.out)
        assert.matches("failed  spec/b_spec.lua:2: x after_each, after x y\n    spec/b_spec.lua:2: left\n", result.out)
        assert.matches("\n1 passed, 2 failed, 0 skipped\n$", result.out)
    end)

    it("does not let a spec end the run", function()
        write("a_spec.lua", example("os.exit(0)"))
        write("b_spec.lua", example(""))
        assert.matches("os.exit was called in a spec.*\n1 passed, 1 failed, 0 skipped\n$", test().out)
    end)

    it("hands filters, repetition and order on", function()
        write("a_spec.lua", FAILING)
        write("b_spec.lua", FAILING:gsub("shop", "shed"))
        assert.matches("\n6 passed, 0 failed, 0 skipped\n$", test("--filter", "is right", "--repeat", "3").out)
        local first = test("--shuffle", "--seed", "7", "--filter-out", "written")
        assert.matches("\norder of %-%-seed 7\n2 passed, 4 failed, 0 skipped\n$", first.out)
        local second = test("--shuffle", "--seed", "7", "--filter-out", "written")
        local function without_times(text)
            return (text:gsub("%d+%-%d+%-%d+T%S+", "TIME"))
        end
        assert.equal(without_times(first.out), without_times(second.out))
    end)

    it("lists the slowest, over all processes", function()
        write("a_spec.lua", example("require('moonloop').sleep(0.2)"))
        write("b_spec.lua", example(""))
        local out = test("--slow", "1", "-j", "2").out
        assert.matches("\n +0%.[234]%d s  spec/a_spec.lua:1: it goes\n +0%.[2-9]%d s  spec/a_spec.lua\n", out)
        assert.not_matches("b_spec", out)
    end)

    it("runs in its own process with --jobs 0, where the output handlers of busted are", function()
        write("a_spec.lua", example("io.stderr:write('seen at once\\n')"))
        local result = test("--jobs", "0")
        assert.equal("seen at once\n", result.err)
        assert.matches("\n1 passed, 0 failed, 0 skipped\n$", result.out)
        assert.matches("ok 1 %- it goes\n", test("--output", "TAP").out)
    end)

    it("refuses what it cannot do", function()
        local cases = {
            ["--jobs: expected a number from 0 to 64, or auto, got many"] = { "-j", "many" },
            ["--output: an output handler of busted sees one process"] = { "-o", "TAP", "-j", "2" },
            ["--timeout: expected a number, got soon"] = { "--timeout", "soon" },
        }
        for message, words in pairs(cases) do
            local result = test(unpack(words))
            assert.equal(2, result.code)
            assert.equal("moonloop: test: " .. message, result.err:sub(1, #message + #"moonloop: test: "))
        end
        local result = test("spec/nothing_spec.lua")
        assert.equal(1, result.code)
        assert.equal("spec/nothing_spec.lua: no such file or directory\n0 passed, 1 failed, 0 skipped\n", result.out)
    end)
end)
