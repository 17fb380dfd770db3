--- Each step needs what the one before it has found. The code is a straight line; only this request waits.
return {
    title = "Sequential",
    says = "Each step needs the one before. As slow as the sum.",
    run = function(show)
        local user = show.work("user", 0.1)
        local account = show.work("account of " .. user, 0.15)
        return show.work("orders of " .. account, 0.1)
    end,
}
