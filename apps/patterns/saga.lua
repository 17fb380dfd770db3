--- Several steps in different places that have to be undone when a later one fails, last first. The undoing is
--- shielded: not even a client that leaves keeps the seat booked.
local moonloop = require("moonloop")

---Runs steps { name, act, undo }. When one fails, those before it are undone and the failure is raised.
local function saga(steps)
    local done = {}
    local ok, err = pcall(function()
        for _, step in ipairs(steps) do
            step.act()
            table.insert(done, 1, step)
        end
    end)
    if not ok then
        moonloop.shield(function()
            for _, step in ipairs(done) do
                step.undo()
            end
        end)
        error(err, 0)
    end
end

return {
    title = "Saga with compensation",
    says = "Flight and hotel are booked, the card is refused: the hotel is cancelled, then the flight.",
    run = function(show)
        local function step(name, problem)
            return {
                act = function() show.work("book " .. name, 0.1, problem) end,
                undo = function() show.work("cancel " .. name, 0.06) end,
            }
        end
        local _, err = moonloop.try(saga, { step("flight"), step("hotel"), step("car", "card refused") })
        return "nothing is booked: " .. err.message
    end,
}
