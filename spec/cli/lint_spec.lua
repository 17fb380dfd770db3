local command = require("spec.support.command")
local process = require("spec.support.process")

describe("moonloop lint", function()
    local dir

    before_each(function()
        dir = process.directory()
    end)

    after_each(process.clean)

    local function write(path, text)
        command.write(dir .. "/" .. path, text)
    end

    local function lint(...)
        return command.call({ "lint", ... }, { cwd = dir })
    end

    --- Its exit code and all that it said, in one string.
    local function outcome(...)
        local result = lint(...)
        return result.code .. ":" .. result.out .. result.err
    end

    it("wants settings, a checker that there is, and a sensible number", function()
        assert.matches("^2:moonloop: lint: nothing to check with: .* %.luacheckrc", outcome())
        assert.matches("^2:.*unknown checker lucheck; did you mean luacheck%? %(there are luacheck, ",
            outcome("lucheck"))
        write(".luacheckrc", "")
        for _, jobs in ipairs({ "0", "-1", "many" }) do
            assert.equal(2, lint("--jobs=" .. jobs).code)
        end
    end)

    it("runs the checkers that have settings, and says what each has seen", function()
        write(".luacheckrc", "")
        write(".shellcheckrc", "")
        write("lua/a.lua", "local M = {}\nreturn M\n")
        assert.equal("0:luacheck: 0 warnings in 1 files\nshellcheck: 0 warnings in 0 files\n"
            .. "lint: 2 passed, 0 failed\n", outcome())
        write("run", "#!/bin/sh\necho $1\n")
        write("lua/a.lua", "local M = {}\nreturn 1\n")
        local text = outcome()
        assert.matches("^1:", text)
        assert.matches("lua/a%.lua:1:7: %(W211%) unused variable", text)
        assert.matches("run:2:6: note: Double quote .*%[SC2086%]", text)
        assert.matches("\nlint: 0 passed, 2 failed: luacheck, shellcheck\n$", text)
        assert.matches("^1:[^\n]*run:2:6: .*\nlint: 0 passed, 1 failed: shellcheck\n$", outcome("shellcheck"))
    end)

    it("finds C that is formatted otherwise", function()
        write(".clang-format", "BasedOnStyle: LLVM\n")
        write("core/a.c", "int  a;\n")
        assert.matches("^1:core/a%.c:1:4: error: .*\nclang%-format: 1 warnings in 1 files\n", outcome())
        write("core/a.c", "int a;\n")
        assert.matches("^0:", outcome())
    end)

    it("finds what cppcheck finds, with the words of .cppcheck", function()
        write(".cppcheck", "# what\ncore\n--enable=warning\n")
        write("core/a.c", "int f(void) { int *p = 0; return *p; }\n")
        assert.matches("^1:core/a%.c:1:%d+: error: Null pointer dereference: p %[nullPointer%]\n", outcome())
        write(".cppcheck", "core\n--suppress=nullPointer\n")
        assert.matches("^0:", outcome())
        write(".cppcheck", "core\n--no-such-option\n")
        assert.matches("^1:cppcheck: ended with 1: ", outcome())
    end)

    describe("with clang-tidy", function()
        before_each(function()
            write(".clang-tidy", "Checks: '-*,bugprone-*'\nHeaderFilterRegex: core\n")
            write("core/a.c", '#include "a.h"\nint f(int i) { return i * WIDTH; }\n')
            write("core/b.c", "int g(void) { return 1; }\n")
            write("core/a.h", "#define WIDTH 2\n")
            local units = {}
            for i, name in ipairs({ "a", "b" }) do
                units[i] = ('{"directory":"%s","command":"cc -Icore -c core/%s.c","file":"%s/core/%s.c"}')
                    :format(dir, name, dir, name)
            end
            write("build/compile_commands.json", "[" .. table.concat(units, ",") .. "]")
        end)

        it("looks again only at what has changed, headers and settings too", function()
            assert.matches("^0:clang%-tidy: 0 warnings in 2 files\n", outcome())
            assert.matches("in 2 files %(2 of them unchanged since an earlier run%)\n", outcome())
            write("core/a.h", "#define WIDTH 2 + 1\n")
            local text = outcome()
            assert.matches("in 2 files %(1 of them unchanged", text)
            assert.matches("^1:core/a%.h:1:17: warning: macro replacement list should be enclosed", text)
            assert.matches("^1:core/a%.h:1:17: ", outcome()) -- what was found is remembered as well
            write(".clang-tidy", "Checks: '-*,bugprone-branch-clone'\n")
            assert.matches("^0:clang%-tidy: 0 warnings in 2 files\n", outcome())
        end)

        it("looks at a file once, though it is part of several targets", function()
            local unit = ('{"directory":"%s","command":"cc%s -Icore -c core/b.c","file":"%s/core/b.c"}')
            write("core/b.c", "#ifdef TWICE\n#error twice\n#endif\n")
            write("build/compile_commands.json", "[" .. unit:format(dir, "", dir) .. ","
                .. unit:format(dir, " -DTWICE", dir) .. "]")
            assert.matches("^0:clang%-tidy: 0 warnings in 1 files\n", outcome())
        end)

        it("says when a file does not compile, or nothing says how it is compiled", function()
            write("core/b.c", "int g(void) { return 1 }\n")
            assert.matches("^1:core/b%.c:1:23: error: expected ';'", outcome())
            command.remove(dir .. "/build")
            assert.matches("^1:clang%-tidy: build/compile_commands%.json: No such file.*cmake %-S", outcome())
        end)
    end)
end)
