--- A short run of bench/soak: everything at once, for twenty seconds (two minutes with SLOW_SPECS=1). The
--- real one takes an hour and judges memory more strictly; so short a run only shows gross leaks, as servers are
--- still warming up.

local command = require("spec.support.command")
local process = require("spec.support.process")
local server = require("spec.support.server")
local shortage = require("spec.support.shortage")

--- Sanitizers keep freed memory, their own records grow, and everything takes several times as long.
local function is_sanitized()
    local program = process.read(server.binary)
    return program:find("__asan_init", 1, true) or program:find("__tsan_init", 1, true)
end

describe("a server under mixed load, with everything changing under it", function()
    it("loses nothing and leaves nothing behind", function()
        if shortage.is_regular then
            return pending("memory is refused all the time in this build: answers are lost on purpose")
        end
        local directory, sanitized = command.directory(), is_sanitized()
        local result = command.run({
            "timeout", "300", "bench/soak", os.getenv("SLOW_SPECS") and "2" or "0.35",
            "--rate", sanitized and "20" or "60", "--growth", sanitized and "10000" or "40",
            "--moonloop", server.binary, "--picture", directory .. "/soak.svg",
        })
        local picture = process.read(directory .. "/soak.svg")
        command.remove(directory)
        assert.equal(0, result.code, result.out .. result.err)
        assert.matches("lasting: %d+ acts, %d+ answers", result.out)
        assert.matches("<svg", picture)
    end)
end)
