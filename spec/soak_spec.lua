--- A short run of bench/soak: everything at once, for twenty seconds. The real one takes an hour and judges memory
--- more strictly; so short a run only shows gross leaks, as servers are still warming up.

local command = require("spec.support.command")
local server = require("spec.support.server")

-- Sanitizers keep freed memory, and their own records grow.
local GROWTH = server.is_sanitized and "10000" or "40"

describe("a server under mixed load, with everything changing under it", function()
    it("loses nothing and leaves nothing behind", function()
        local directory = command.directory()
        local result = command.run({ "timeout", "240", "bench/soak", "0.35", "--rate", "60", "--growth", GROWTH,
            "--moonloop", server.binary, "--picture", directory .. "/soak.svg" })
        local picture = io.open(directory .. "/soak.svg"):read("*a")
        command.remove(directory)
        assert.equal(0, result.code, result.out .. result.err)
        assert.matches("lasting: %d+ acts, %d+ answers", result.out)
        assert.matches("<svg", picture)
    end)
end)
