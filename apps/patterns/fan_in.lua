--- Several sources into one channel, read by one task in the order of arrival. The last source to end closes it.
local moonloop = require("moonloop")

return {
    title = "Fan-in",
    says = "Three sources, one reader. What comes first is read first.",
    run = function(show)
        local lines = moonloop.channel(10)
        local seen = {}
        moonloop.scope(function(scope)
            scope:spawn(function()
                moonloop.map({ 0.05, 0.08, 0.13 }, function(seconds, source)
                    for i = 1, 3 do
                        show.work("source " .. source, seconds)
                        lines:send(source .. "." .. i)
                    end
                end)
                lines:close()
            end)
            for line in lines do
                show.note(line)
                seen[#seen + 1] = line
            end
        end)
        return table.concat(seen, " ")
    end,
}
