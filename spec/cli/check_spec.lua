local command = require("spec.support.command")

local GOOD = [[
local moonloop = require("moonloop")
local app = moonloop.app()
app:get("/", function() return "hello" end)
app:post("/items/{id:int}", function(req) return { id = req.params.id } end)
return app
]]

describe("moonloop", function()
    local dir

    before_each(function()
        dir = command.directory()
        command.write(dir .. "/apps/good.lua", GOOD)
    end)

    after_each(function()
        command.remove(dir)
    end)

    local function call(...)
        return command.call({ ... }, { cwd = dir })
    end

    describe("check", function()
        ---Writes an app that should be complained about, and returns the complaints.
        local function complaints(text, name)
            command.write(dir .. "/apps/" .. (name or "bad.lua"), text)
            local result = call("check")
            assert.equal(1, result.code, result.out)
            return result.out
        end

        it("is content with apps that load", function()
            local result = call("check")
            assert.equal("all well: 1 app, 2 routes\n", result.out)
            assert.equal("", result.err)
            assert.equal(0, result.code)
        end)

        it("finds a syntax error", function()
            assert.matches("^apps/bad%.lua:2: '=' expected near 'x'\n", complaints("local a\na x"))
        end)

        it("finds globals that nobody declared, in functions that never run, with the line", function()
            local out = complaints(GOOD:gsub('return "hello"',
                'local function unused()\nreturn mispelled\nend\nresult = 1') .. "")
            assert.matches("apps/bad%.lua:4: undeclared global mispelled is read\n", out)
            assert.matches("apps/bad%.lua:6: undeclared global result is written\n", out)
        end)

        it("says what to begin a file with", function()
            assert.matches('apps/bad%.lua:1: undeclared global moonloop is read; begin the file with local moonloop = ',
                complaints("return moonloop.app()"))
        end)

        it("says where to do what needs a task, at the line that did it while the file was loaded", function()
            local HEAD = 'local moonloop = require("moonloop")\nlocal app = moonloop.app()\n'
            for call, advice in pairs({
                ["moonloop.sleep(1)"] = "wait in a handler, or in app:on_start",
                ["moonloop.spawn(print)"] = "call it in a handler or in app:on_start, or use app:background",
                ["moonloop.timeout(1, print)"] = "open it in a handler or in app:on_start",
                ['moonloop.topic("t"):subscribe()'] = "subscribe in a handler, or in the task of app:background",
            }) do
                assert.matches("apps/bad%.lua:3: .*" .. advice .. "\n", complaints(HEAD .. call .. "\nreturn app"))
            end
        end)

        it("does not mind what LuaJIT has, nor locals and fields of such names", function()
            command.write(dir .. "/apps/good.lua", "local mispelled = jit.version .. table.concat({}) .. _VERSION\n"
                .. "local t = { result = mispelled }\nt.result = 1\n" .. GOOD)
            assert.equal(0, call("check").code)
        end)

        it("looks into files that apps share", function()
            assert.matches("apps/_lib/db%.lua:1: undeclared global oops is written",
                complaints("oops = 1", "_lib/db.lua"))
        end)

        it("finds a route that is there twice", function()
            local out = complaints(GOOD:gsub("return app", 'app:get("/", function() end)\nreturn app') .. "")
            assert.matches("apps/bad%.lua:5: .*GET /", out)
        end)

        it("finds route options that do not exist", function()
            local out = complaints(GOOD:gsub('"/",', '"/", { timeot = 1 },') .. "")
            assert.matches("apps/bad%.lua:3: .*timeot", out)
        end)

        it("finds what an app raises while it loads", function()
            assert.matches("apps/bad%.lua:2: no database", complaints('\nerror("no database")'))
        end)

        it("finds the line where an app waits while it loads", function()
            assert.matches("apps/bad%.lua:2: this waits",
                complaints('local m = require("moonloop")\nm.sleep(1)\nreturn m.app()'))
        end)

        it("names the file when no line is to blame", function()
            assert.matches("apps/bad%.lua: the file has to end with `return app`", complaints("return 1"))
            assert.matches("apps/bad%.lua: ", complaints("error({})"))
        end)

        it("finds an app that is there twice", function()
            assert.matches("apps/good/init%.lua: not loaded: apps/good%.lua is the same app",
                complaints(GOOD, "good/init.lua"))
        end)

        it("finds what is wrong with the configuration, together with the rest", function()
            command.write(dir .. "/moonloop.conf.lua", "return {\n  wrokers = 2,\n}")
            local out = complaints("oops = 1")
            assert.matches("moonloop%.conf%.lua:2: unknown option \"wrokers\"; did you mean workers%?\n", out)
            assert.matches("apps/bad%.lua:1: undeclared global oops", out)
        end)

        it("tells every problem once, in order, and counts them", function()
            command.write(dir .. "/apps/a.lua", "x = 1\n" .. GOOD)
            command.write(dir .. "/apps/b.lua", "return (")
            local result = call("check")
            assert.matches("^apps/a%.lua:1: [^\n]*\napps/b%.lua:1: [^\n]*\n$", result.out)
            assert.matches("2 problems", result.err)
        end)

        it("checks the directory that is named", function()
            command.write(dir .. "/site/shop.lua", "x = 1\nreturn nil")
            assert.matches("^site/shop%.lua:1: ", call("check", "site").out)
            local result = call("check", "nowhere")
            assert.equal(1, result.code)
            assert.matches("nowhere: no such directory", result.err)
        end)
    end)

    describe("routes", function()
        it("lists method, pattern, app and handler as a table", function()
            local result = call("routes")
            assert.equal(0, result.code)
            assert.equal(table.concat({
                "METHOD  PATTERN               APP   HANDLER",
                "GET     /good/                good  apps/good.lua:3",
                "POST    /good/items/{id:int}  good  apps/good.lua:4",
                "",
            }, "\n"), result.out)
        end)

        it("lists them as JSON", function()
            local routes = require("cjson").decode(call("routes", "--json").out)
            assert.equal(2, #routes)
            assert.same({ method = "POST", pattern = "/good/items/{id:int}", app = "good", source = "apps/good.lua:4" },
                routes[2])
        end)

        it("lists what loads and names what does not", function()
            command.write(dir .. "/apps/bad.lua", "return (")
            local result = call("routes")
            assert.equal(1, result.code)
            assert.matches("GET     /good/", result.out)
            assert.not_matches("bad", result.out)
            assert.matches("app bad does not load: .*bad%.lua:1:", result.err)
        end)
    end)
end)
