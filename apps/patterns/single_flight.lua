--- Six requests want the same answer in the same moment. One asks; the six share what it gets.
local moonloop = require("moonloop")

return {
    title = "Single-flight",
    says = "Six want the same at once: it is fetched once, and all six get it.",
    run = function(show)
        local fetches = 0
        local answers = moonloop.map({ 1, 2, 3, 4, 5, 6 }, function(caller)
            local from = moonloop.now()
            local answer = moonloop.singleflight("patterns/weather", function()
                fetches = fetches + 1
                return show.work("fetch", 0.2)
            end)
            show.bar("caller " .. caller, from, moonloop.now(), "done")
            return answer
        end)
        return ("%d answers, %d fetch"):format(#answers, fetches)
    end,
}
