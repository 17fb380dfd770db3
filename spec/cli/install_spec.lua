local command = require("spec.support.command")

describe("an installed moonloop", function()
    local dir

    setup(function()
        dir = command.directory()
        local build = command.moonloop:match("^(.*)/")
        local result = command.run({ "cmake", "--install", build, "--prefix", dir .. "/usr" })
        assert.equal(0, result.code, result.err)
    end)

    teardown(function()
        command.remove(dir)
    end)

    it("has the binary, the Lua library and the man page", function()
        for _, path in ipairs({ "bin/moonloop", "share/moonloop/lua/moonloop/cli/init.lua",
            "share/man/man1/moonloop.1" }) do
            assert.equal(0, command.run({ "test", "-s", dir .. "/usr/" .. path }).code, path)
        end
    end)

    it("finds its Lua library beside the binary, wherever that is moved", function()
        command.write(dir .. "/where.lua", "print(package.path)")
        command.run({ "mv", dir .. "/usr", dir .. "/moved" })
        local result = command.run({ dir .. "/moved/bin/moonloop", "run", "where.lua" }, { cwd = dir })
        command.run({ "mv", dir .. "/moved", dir .. "/usr" })
        local real = command.run({ "readlink", "-f", dir }).out:gsub("\n", "")
        assert.matches(real:gsub("%p", "%%%0") .. "/moved/share/moonloop/lua/%?%.lua;", result.out)
    end)

    it("takes another Lua library when MOONLOOP_LUA_DIR names one, and refuses one that is none", function()
        local binary = dir .. "/usr/bin/moonloop"
        command.write(dir .. "/where.lua", "print(package.path)")
        local result = command.run({ binary, "run", "where.lua" },
            { cwd = dir, env = { MOONLOOP_LUA_DIR = command.root .. "/lua" } })
        assert.matches(command.root:gsub("%p", "%%%0") .. "/lua/%?%.lua;", result.out)
        result = command.run({ binary, "version" }, { env = { MOONLOOP_LUA_DIR = dir } })
        assert.equal(1, result.code)
        assert.matches("MOONLOOP_LUA_DIR", result.err)
    end)
end)
