--- What a command prints must arrive: output that is lost is a failure of the command.

local command = require("spec.support.command")

describe("a command whose standard output cannot be written", function()
    local dir

    before_each(function()
        dir = command.directory()
        command.write(dir .. "/few.lua", "print('one')\n")
        command.write(dir .. "/leaves.lua", "print('one') os.exit(0)\n")
        command.write(dir .. "/many.lua", "for i = 1, 100000 do print(i) end\n")
        command.write(dir .. "/apps/index.lua", "local app = require('moonloop').app()\n"
            .. "app:get('/', function() return 'x' end)\nreturn app\n")
    end)

    after_each(function()
        command.remove(dir)
    end)

    local function outcome(words, redirection)
        return command.run({ "sh", "-c", ("%s %s %s"):format(command.moonloop, words, redirection) }, { cwd = dir })
    end

    for _, words in ipairs({ "help", "version", "check --help", "check apps", "routes apps", "run few.lua",
        "run leaves.lua", "run many.lua" }) do
        it("fails: " .. words, function()
            assert.equal(0, outcome(words, "").code)
            local result = outcome(words, ">/dev/full")
            assert.equal(1, result.code)
            assert.matches("^moonloop: cannot write standard output", result.err)
        end)
    end

    it("says why when it knows", function()
        assert.equal("moonloop: cannot write standard output: No space left on device\n",
            outcome("version", ">/dev/full").err)
    end)

    it("says nothing when the reader has seen enough", function()
        local result = command.run({ "sh", "-c", ("{ %s run many.lua; echo code $? >&2; } | head -n 1")
            :format(command.moonloop) }, { cwd = dir })
        assert.same({ code = 0, out = "1\n", err = "code 1\n" }, result)
    end)

    it("need not have any", function()
        assert.same({ code = 0, out = "", err = "" }, outcome("run few.lua", ">&-"))
    end)
end)
