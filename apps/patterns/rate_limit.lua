--- Ten calls want to go out at once, to somebody who allows twenty a second and three in a burst.
local moonloop = require("moonloop")

return {
    title = "Rate limit",
    says = "Ten calls, twenty a second, three in a burst. First come, first served.",
    run = function(show)
        local limiter = moonloop.rate_limiter({ rate = 20, burst = 3 })
        local calls = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 }
        moonloop.map(calls, function(call)
            limiter:acquire()
            show.work("call " .. call, 0.03)
        end)
        return #calls .. " calls"
    end,
}
