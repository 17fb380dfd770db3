--- The corpus of each harness of core/fuzz: what a fuzzer found once, and what it begins with. Without
--- a fuzzer; with one see core/fuzz/run.

local command = require("spec.support.command")

local CORPUS = "spec/corpus/"
local build = command.moonloop:match("^(.*)/[^/]*$")

local function list(pattern)
    local names = {}
    for name in command.run({ "sh", "-c", "ls -d " .. pattern }).out:gmatch("[^\n]+") do
        names[#names + 1] = name
    end
    return names
end

---@return table<string, string> by name: what core/fuzz/replay.lua is to run
local function harnesses()
    local found = {}
    for _, path in ipairs(list("core/fuzz/*.c")) do
        local name = path:match("([%w_]+)%.c$")
        found[name] = ("%s/fuzz_%s.so"):format(build, name)
    end
    for _, path in ipairs(list("core/fuzz/lua/*.lua")) do
        local name = path:match("([%w_]+)%.lua$")
        assert(not found[name], "two harnesses of one name")
        found[name] = path
    end
    return found
end

describe("what broke it once, or might have, goes through", function()
    lazy_setup(function()
        local made = command.run({ "cmake", "--build", build, "--target", "fuzz_harnesses" })
        assert.equal(0, made.code, made.out .. made.err)
    end)

    for name, harness in pairs(harnesses()) do
        it("the harness " .. name, function()
            local files = list(CORPUS .. name .. "/*")
            assert.is_true(#files > 0, "no corpus")
            -- A harness keeps its loop until the end, when nothing points at it any more: no leak of ours.
            local words = { "env", ("ASAN_OPTIONS=%s:detect_leaks=0"):format(os.getenv("ASAN_OPTIONS") or ""),
                command.moonloop, "run", "core/fuzz/replay.lua", harness }
            for _, path in ipairs(files) do
                words[#words + 1] = path
            end
            local replayed = command.run(words)
            assert.equal(#files .. " inputs replayed\n", replayed.out, replayed.err:sub(-4000))
            assert.equal(0, replayed.code, replayed.err:sub(-4000))
        end)
    end
end)

describe("the corpus", function()
    it("has no place that no harness reads", function()
        local known = harnesses()
        for _, path in ipairs(list(CORPUS .. "*")) do
            assert.is_string(known[path:sub(#CORPUS + 1)], path)
        end
    end)
end)
