--- Stages joined by channels: while one item is being stored, the next is resized and a third fetched. A channel
--- holds little, so that a slow stage slows the one before it down, instead of filling the memory.
local moonloop = require("moonloop")

---A task that works on what comes out of `source`; gives the channel with its results.
local function stage(scope, source, work)
    local results = moonloop.channel(1)
    scope:spawn(function()
        for item in source do
            results:send(work(item))
        end
        results:close()
    end)
    return results
end

return {
    title = "Pipeline",
    says = "Three stages work on different pictures at the same time; each lane is a stage.",
    run = function(show)
        return moonloop.scope(function(scope)
            local names = moonloop.channel(4)
            for i = 1, 4 do
                names:send(i)
            end
            names:close()
            local fetched = stage(scope, names, function(i) show.work("fetch", 0.08) return i end)
            local resized = stage(scope, fetched, function(i) show.work("resize", 0.1) return i end)
            local stored = {}
            for i in stage(scope, resized, function(i) show.work("store", 0.06) return i end) do
                stored[#stored + 1] = i
            end
            return "stored in order: " .. table.concat(stored, ", ")
        end)
    end,
}
