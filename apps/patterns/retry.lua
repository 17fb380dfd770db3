--- Twice it fails, the third time it works: each pause is twice the one before, and a little random, so that a
--- crowd of clients does not come back in the same moment.
local moonloop = require("moonloop")

return {
    title = "Retry",
    says = "Pauses double, with some chance in them. What was cancelled is never tried again.",
    run = function(show)
        local attempts = 0
        return moonloop.retry({ times = 5, backoff = 0.05, jitter = true }, function()
            attempts = attempts + 1
            return show.work("attempt " .. attempts, 0.06, attempts < 3 and "no answer" or nil)
        end)
    end,
}
