--- Steps that do not need each other run at the same time. The first failure would cancel the others.
local moonloop = require("moonloop")

return {
    title = "Fan-out",
    says = "Three questions that do not need each other, at once. As slow as the slowest.",
    run = function(show)
        local user, orders, news = moonloop.gather(
            function() return show.work("user", 0.15) end,
            function() return show.work("orders", 0.25) end,
            function() return show.work("news", 0.1) end)
        return user .. ", " .. orders .. ", " .. news
    end,
}
