--- A quick producer and two slower consumers. The channel between them holds two: then `send` waits, and the
--- producer goes as fast as the consumers do.
local moonloop = require("moonloop")

return {
    title = "Producer and consumers",
    says = "The producer could be done at once; a channel for two makes it wait for the consumers.",
    run = function(show)
        local jobs = moonloop.channel(2)
        local counts = { 0, 0 }
        moonloop.scope(function(scope)
            for consumer = 1, 2 do
                scope:spawn(function()
                    for job in jobs do
                        show.work("consumer " .. consumer, job % 3 == 0 and 0.12 or 0.06)
                        counts[consumer] = counts[consumer] + 1
                    end
                end)
            end
            for job = 1, 8 do
                show.work("producer", 0.01)
                jobs:send(job)
            end
            jobs:close()
        end)
        return ("%d and %d jobs"):format(counts[1], counts[2])
    end,
}
