--- Many pieces of work, but never more than three at a time: the other side is spared.
local moonloop = require("moonloop")

return {
    title = "Bounded pool",
    says = "Nine pieces of work, three at a time. Whoever ends first takes the next.",
    run = function(show)
        local pages = { "page 1", "page 2", "page 3", "page 4", "page 5", "page 6", "page 7", "page 8", "page 9" }
        local fetched = moonloop.map(pages, function(page, i)
            return show.work(page, i % 2 == 0 and 0.06 or 0.12)
        end, { limit = 3 })
        return #fetched .. " pages"
    end,
}
