--- Several ways to the same end: the first to finish decides, the others are cancelled in the middle.
local moonloop = require("moonloop")

return {
    title = "Race",
    says = "The first to finish decides, well or badly; the others are cancelled.",
    run = function(show)
        local winner, index = moonloop.race(
            function() return show.work("disk", 0.25) end,
            function() return show.work("memory", 0.08) end,
            function() return show.work("network", 0.4) end)
        return ("%s was first (number %d)"):format(winner, index)
    end,
}
