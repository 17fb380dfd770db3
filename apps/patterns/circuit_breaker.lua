--- A service that is down: after three failures nobody asks it any more and callers hear so at once. When some time
--- has passed one call is let through; it works, and all are welcome again.
local moonloop = require("moonloop")

return {
    title = "Circuit breaker",
    says = "Three failures open it: calls fail at once. After 0.2 s one may try, and closes it again.",
    run = function(show)
        local breaker = moonloop.circuit_breaker({ failures = 3, cooldown = 0.2 })
        local is_down, refused = true, 0
        for call = 1, 12 do
            local _, err = moonloop.try(breaker.run, breaker, function()
                return show.work("call " .. call, 0.04, is_down and "out of order" or nil)
            end)
            if err and err.code == "open" then
                refused = refused + 1
                moonloop.sleep(0.04)
            end
            if call == 5 then
                is_down = false
                show.note("the service is up again")
            end
        end
        return ("%d calls were refused at once; now it is %s"):format(refused, breaker.state)
    end,
}
