local command = require("spec.support.command")
local process = require("spec.support.process")

describe("the command line", function()
    local dir

    before_each(function()
        dir = process.directory()
    end)

    after_each(process.clean)

    it("lists the commands when it is given none, and fails", function()
        local result = command.call({})
        assert.equal(2, result.code)
        assert.equal("", result.out)
        assert.matches("\n  serve  ", result.err)
    end)

    it("explains each command", function()
        local help = command.call({ "help" })
        assert.equal(0, help.code)
        for name in help.out:gmatch("\n  (%l+) ") do
            local result = command.call({ name, "--help" })
            assert.equal(0, result.code)
            assert.matches("^Usage: moonloop " .. name, result.out)
        end
    end)

    it("suggests the nearest command", function()
        local result = command.call({ "serv" })
        assert.equal(2, result.code)
        assert.matches("unknown command serv; did you mean serve%?", result.err)
    end)

    it("says what is missing", function()
        for _, words in ipairs({ { "run" }, { "new" }, { "scale" }, { "serve", "-w" } }) do
            local result = command.call(words, { cwd = dir })
            assert.equal(2, result.code)
            assert.matches("^moonloop: " .. words[1] .. ": ", result.err)
        end
        assert.matches("apps: no such directory;.*moonloop new hello",
            command.call({ "serve" }, { cwd = dir }).err)
        assert.matches("from 1 to 256", command.call({ "scale", "300" }, { cwd = dir }).err)
    end)

    describe("version", function()
        it("names moonloop and each library", function()
            local out = command.call({ "version" }).out
            assert.matches("^moonloop   " .. command.read("VERSION"):gsub("%p", "%%%0"), out)
            for _, name in ipairs({ "libuv", "LuaJIT", "llhttp", "c%-ares" }) do
                assert.matches("\n" .. name .. " +%d+%.%d", out)
            end
            assert.matches("\nOpenSSL +%w", out)
        end)

        it("does so in JSON", function()
            local versions = require("cjson").decode(command.call({ "version", "--json" }).out)
            assert.equal((command.read("VERSION"):gsub("%s", "")), versions.moonloop)
            assert.matches("^%d+%.%d+%.%d+$", versions.libuv)
        end)
    end)

    describe("run", function()
        local function run(text, ...)
            command.write(dir .. "/script.lua", text)
            return command.call({ "run", "script.lua", ... }, { cwd = dir })
        end

        it("gives the script its arguments, dashes and all", function()
            local result = run('print(arg[0], #arg, ...)', "a", "--json", "-h")
            assert.equal("script.lua\t3\ta\t--json\t-h\n", result.out)
            assert.equal(0, result.code)
        end)

        it("shows the message of an error table, and no address", function()
            local result = run("error({ code = 'stock', message = 'out of stock' })\n")
            assert.matches("out of stock", result.err, 1, true)
            assert.is_nil(run("error({})\n").err:find("table: 0x", 1, true))
        end)

        it("ends with 1 and a traceback when the script raises", function()
            local result = run("local function f()\n    error('bad')\nend\nf()")
            assert.equal(1, result.code)
            assert.matches("script%.lua:2: bad\nstack traceback:.*script%.lua:4: in main chunk", result.err)
        end)

        it("ends with 1 and the place when the script does not compile", function()
            local result = run("x = = 1")
            assert.equal(1, result.code)
            assert.matches("script%.lua:1: unexpected symbol", result.err)
            assert.matches("no such file", command.call({ "run", "nowhere.lua" }, { cwd = dir }).err)
        end)

        it("ends as the script says", function()
            assert.equal(7, run("os.exit(7)").code)
        end)

        it("runs the script in a task, which may wait and spawn", function()
            local result = run([[
                local moonloop = require("moonloop")
                local order = {}
                local function note(name, seconds)
                    moonloop.sleep(seconds)
                    order[#order + 1] = name
                end
                local tasks = { moonloop.spawn(note, "slow", 0.05), moonloop.spawn(note, "fast", 0.01) }
                for _, task in ipairs(tasks) do
                    task:wait()
                end
                print(table.concat(order, " "))
            ]])
            assert.equal("", result.err)
            assert.equal("fast slow\n", result.out)
        end)

        it("ends with 1 when a task of the script fails, and says which", function()
            local result = run([[
                local moonloop = require("moonloop")
                local task = moonloop.spawn(function()
                    moonloop.sleep(0)
                    error("inner")
                end)
                task:wait()
            ]])
            assert.equal(1, result.code)
            assert.matches("script%.lua:4: inner", result.err)
        end)

        it("finds modules beside the script", function()
            command.write(dir .. "/beside.lua", "return 'found'")
            assert.equal("found\n", run("print(require('beside'))").out)
        end)
    end)

    describe("new", function()
        it("makes an app, a spec and the editor's types", function()
            local result = command.call({ "new", "shop" }, { cwd = dir })
            assert.equal(0, result.code)
            assert.matches('app:get%("/"', command.read(dir .. "/apps/shop.lua"))
            assert.matches('client:get%("/shop/"%)', command.read(dir .. "/spec/shop_spec.lua"))
            local luarc = require("cjson").decode(command.read(dir .. "/.luarc.json"))
            assert.equal("LuaJIT", luarc["runtime.version"])
            assert.matches("moonloop/cli/init%.lua\n", command.run({ "find", luarc["workspace.library"][1] }).out)
        end)

        it("overwrites nothing", function()
            command.write(dir .. "/spec/shop_spec.lua", "mine")
            local result = command.call({ "new", "shop" }, { cwd = dir })
            assert.equal(1, result.code)
            assert.matches("spec/shop_spec%.lua is there already; nothing was written", result.err)
            assert.equal("mine", command.read(dir .. "/spec/shop_spec.lua"))
            assert.equal("", command.run({ "find", dir, "-name", "*.lua", "-path", "*apps*" }).out)
        end)

        it("refuses names that no app can have", function()
            for _, name in ipairs({ "_lib", ".x", "a/b", "../x", "", "a b", ("x"):rep(65) }) do
                local result = command.call({ "new", "--", name }, { cwd = dir })
                assert.equal(2, result.code)
                assert.matches("cannot be an app's name", result.err)
            end
        end)
    end)

    describe("test", function()
        local function test(text, ...)
            command.write(dir .. "/spec/a_spec.lua", text)
            local result = command.call({ "test", ... }, { cwd = dir })
            return result.code, result.out:match("([^\n]*)\n$"), result.out
        end

        it("counts what passed, failed and was skipped on the last line", function()
            local code, line = test('it("a", function() end) pending("b") it("c", function() end)')
            assert.equal("2 passed, 0 failed, 1 skipped", line)
            assert.equal(0, code)
            code, line = test('it("a", function() assert.equal(1, 2) end) it("b", function() error("x") end)')
            assert.equal("0 passed, 2 failed, 0 skipped", line)
            assert.equal(1, code)
        end)

        it("fails for a file that does not load, a set-up that raises, and for no test at all", function()
            local code, line = test("x = = 1")
            assert.equal("1:0 passed, 1 failed, 0 skipped", code .. ":" .. line)
            code, line = test('describe("a", function() before_each(error) it("b", function() end) end)')
            assert.equal("1:0 passed, 1 failed, 0 skipped", code .. ":" .. line)
            code, line = test("")
            assert.equal("1:0 passed, 0 failed, 0 skipped", code .. ":" .. line)
            assert.equal(1, (test("", "nowhere")))
        end)

        it("lets specs wait", function()
            local code, line = test([[
                local moonloop = require("moonloop")
                it("sleeps", function()
                    local begun = moonloop.now()
                    moonloop.sleep(0.02)
                    assert.is_true(moonloop.now() - begun > 0.015)
                end)
            ]])
            assert.equal("0:1 passed, 0 failed, 0 skipped", code .. ":" .. line)
        end)

        it("takes os.exit in a spec for a failure and goes on", function()
            local code, line = test('it("a", function() os.exit(0) end) it("b", function() end)')
            assert.equal("1:1 passed, 1 failed, 0 skipped", code .. ":" .. line)
        end)

        it("runs what a filter lets through", function()
            local code, line = test('it("one", function() end) it("two", error)', "--filter", "one")
            assert.equal("0:1 passed, 0 failed, 0 skipped", code .. ":" .. line)
        end)

        it("lints a tree that has a .luacheckrc", function()
            command.write(dir .. "/.luacheckrc", 'std = "luajit+busted"')
            local code, line, out = test('local unused = 1\nit("a", function() end)')
            assert.equal("1:1 passed, 1 failed, 0 skipped", code .. ":" .. line)
            assert.matches("spec/a_spec%.lua:1:7: %(W211%) unused variable", out)
            code, line = test('it("a", function() end)')
            assert.equal("0:2 passed, 0 failed, 0 skipped", code .. ":" .. line)
        end)
    end)
end)
