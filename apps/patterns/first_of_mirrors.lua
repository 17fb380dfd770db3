--- All mirrors at once, and the first that succeeds: one that fails quickly does not win.
local moonloop = require("moonloop")

return {
    title = "First of mirrors",
    says = "The first to succeed counts. A mirror that fails at once does not win.",
    run = function(show)
        return moonloop.any(
            function() return show.work("mirror in Oslo", 0.05, "connection refused") end,
            function() return show.work("mirror in Rome", 0.15) end,
            function() return show.work("mirror in Lima", 0.3) end)
    end,
}
