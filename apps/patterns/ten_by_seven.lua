--- Ten requests at once with seven computations each, in two processes: all seventy go through one bounded pool,
--- and the server answers others meanwhile.
local moonloop = require("moonloop")

---Computes for a while, in a process of the pool, and tells when.
local function compute(request, part)
    local now = require("moonloop").now
    local from, sum = now(), 0
    for i = 1, 2e6 do
        sum = sum + i % (request + part)
    end
    return { from = from, to = now(), sum = sum }
end

return {
    title = "Ten requests × seven sub-tasks",
    says = "Seventy computations through a pool of two processes; each lane is a request.",
    run = function(show)
        local pool = moonloop.pool({ kind = "process", size = 2, name = "patterns" })
        local requests = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 }
        local count = 0
        moonloop.map(requests, function(request)
            local parts = pool:map({ 1, 2, 3, 4, 5, 6, 7 }, function(part)
                return compute(request, part)
            end)
            for _, part in ipairs(parts) do
                show.bar("request " .. request, part.from, part.to, "done")
                count = count + 1
            end
        end)
        return count .. " sub-tasks"
    end,
}
