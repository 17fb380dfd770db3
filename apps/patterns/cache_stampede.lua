--- A cached value ends under load. Without care every request would fetch it anew; here one does, and the others
--- wait for that one.
local moonloop = require("moonloop")

return {
    title = "Cache stampede",
    says = "Twenty requests over 0.5 s, a value that lives 0.2 s, and never two fetches at once.",
    run = function(show)
        local cache = moonloop.cache({ ttl = 0.2, size = 100 })
        local fetches = 0
        local requests = {}
        for i = 1, 20 do
            requests[i] = i * 0.025
        end
        moonloop.map(requests, function(start)
            moonloop.sleep(start)
            return cache:get("prices", function()
                fetches = fetches + 1
                return show.work("fetch", 0.08)
            end)
        end)
        return ("%d requests, %d fetches"):format(#requests, fetches)
    end,
}
