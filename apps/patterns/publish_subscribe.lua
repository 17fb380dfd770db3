--- One publishes, whoever listens hears: in this worker and in every other. Each subscriber has a queue of its own,
--- so that a slow one holds nobody up.
local moonloop = require("moonloop")

---Calls `hear` with each message up to "end".
local function listen(subscription, hear)
    for message in subscription do
        if message == "end" then
            return
        end
        hear(message)
    end
end

return {
    title = "Publish and subscribe",
    says = "A quick and a slow subscriber hear the same messages in the same order.",
    run = function(show)
        local topic = moonloop.topic("patterns/" .. tostring({})) -- a name that no other run uses
        local heard = { quick = {}, slow = {} }
        moonloop.scope(function(scope)
            for name, seconds in pairs({ quick = 0.01, slow = 0.07 }) do
                local subscription = topic:subscribe()
                scope:spawn(listen, subscription, function(message)
                    show.work(name .. " subscriber", seconds)
                    table.insert(heard[name], message)
                end)
            end
            for _, message in ipairs({ "a", "b", "c", "d", "end" }) do
                show.work("publisher", 0.03)
                topic:publish(message)
            end
        end)
        return ("quick heard %s, slow heard %s"):format(table.concat(heard.quick), table.concat(heard.slow))
    end,
}
