--- A request that computes for a long time, in four ways. While one of them runs, ask for /hello/ in another terminal.
---
---     curl localhost:8080/cpu/forever          forgot to offload: interrupted after block_limit, answered 500
---     curl localhost:8080/cpu/thread           the whole handler in another thread
---     curl localhost:8080/cpu/offload          only the computation in another thread
---     curl localhost:8080/cpu/parts            in four parts, on as many cores as there are

local moonloop = require("moonloop")
local app = moonloop.app()

--- How many primes there are from `first` to `last`, the slow way.
local function count_primes(first, last)
    local count = 0
    for number = math.max(first, 2), last do
        local is_prime = true
        for divisor = 2, math.floor(math.sqrt(number)) do
            if number % divisor == 0 then
                is_prime = false
                break
            end
        end
        count = count + (is_prime and 1 or 0)
    end
    return count
end

app:get("/forever", function()
    while true do end -- luacheck: ignore 542 (an empty loop is the point)
end)

app:get("/thread", { run = "thread" }, function()
    return { primes = count_primes(1, 1000000) }
end)

app:get("/offload", function()
    return { primes = moonloop.offload(count_primes, 1, 1000000) }
end)

app:get("/parts", function()
    local parts = { { 1, 250000 }, { 250001, 500000 }, { 500001, 750000 }, { 750001, 1000000 } }
    local counts = moonloop.map(parts, function(part)
        return moonloop.offload(count_primes, part[1], part[2])
    end)
    local sum = 0
    for _, count in ipairs(counts) do
        sum = sum + count
    end
    return { primes = sum }
end)

return app
