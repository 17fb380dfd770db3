--- Something that has to happen every so often, once per server and not once per worker. When the worker that does
--- it dies, another one takes over.
local moonloop = require("moonloop")

local function beats()
    return moonloop.shared("patterns")
end

return {
    title = "Periodic, with a leader",
    says = "Every 0.1 s in exactly one worker, however many there are. The count lives in shared memory.",

    setup = function(app)
        app:every(0.1, function()
            beats():incr("beats")
        end, { name = "heartbeat", once = "server" })
    end,

    run = function(show)
        local first = beats():get("beats") or 0
        local seen = first
        while seen < first + 4 do
            moonloop.sleep(0.01)
            local count = beats():get("beats") or 0
            if count ~= seen then
                show.note("beat " .. count)
                seen = count
            end
        end
        return ("%d beats since the server began"):format(seen)
    end,
}
