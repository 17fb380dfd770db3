--- Ask once. Only when the answer is late, ask a second server as well, and take whichever comes first: a slow
--- server costs little time, and few questions are asked twice.
local moonloop = require("moonloop")

local function hedged(patience, ask)
    return moonloop.any(
        function() return ask(1) end,
        function()
            moonloop.sleep(patience)
            return ask(2)
        end)
end

return {
    title = "Hedged request",
    says = "After 0.1 s without an answer a second server is asked too.",
    run = function(show)
        return hedged(0.1, function(attempt)
            return show.work("server " .. attempt, attempt == 1 and 0.6 or 0.1)
        end)
    end,
}
