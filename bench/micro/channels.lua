--- What a value costs that goes from one task to another: channels of several capacities, select, and what else waits.
--- Run with `build/moonloop run bench/micro/channels.lua`; prints the machine and the commit.

local moonloop = require("moonloop")
local report = dofile("bench/micro/report.lua")

local VALUES = 1000000

local function hand_over(capacity, senders, receivers)
    return function(times)
        local channel, received = moonloop.channel(capacity), 0
        moonloop.scope(function(scope)
            for _ = 1, receivers do
                scope:spawn(function()
                    for _ in channel do
                        received = received + 1
                    end
                end)
            end
            moonloop.scope(function(inner)
                for _ = 1, senders do
                    inner:spawn(function()
                        for i = 1, times / senders do
                            channel:send(i)
                        end
                    end)
                end
            end)
            channel:close()
        end)
        assert(received == times)
    end
end

report.head()

for _, capacity in ipairs({ 0, 1, 100 }) do
    local seconds = report.measure("a value to another task, capacity " .. capacity, VALUES, hand_over(capacity, 1, 1))
    print(("%-50s %8.3f s"):format("  a million of them", seconds))
end
report.measure("a value, capacity 0, ten tasks to ten tasks", VALUES, hand_over(0, 10, 10))

report.measure("a channel to oneself, capacity 1", VALUES, function(times)
    local channel = moonloop.channel(1)
    for i = 1, times do
        channel:send(i)
        channel:recv()
    end
end)

report.measure("select of two channels, capacity 0", VALUES / 10, function(times)
    local a, b = moonloop.channel(), moonloop.channel()
    moonloop.scope(function(scope)
        for _, channel in ipairs({ a, b }) do
            scope:spawn(function()
                for i = 1, times / 2 do
                    channel:send(i)
                end
            end)
        end
        local cases = { a = a, b = b }
        for _ = 1, times do
            moonloop.select(cases)
        end
    end)
end)

report.measure("lock and unlock of a free mutex", VALUES, function(times)
    local mutex = moonloop.mutex()
    for _ = 1, times do
        mutex:lock()
        mutex:unlock()
    end
end)

report.measure("a mutex between ten tasks", VALUES / 10, function(times)
    local mutex = moonloop.mutex()
    moonloop.scope(function(scope)
        for _ = 1, 10 do
            scope:spawn(function()
                for _ = 1, times / 10 do
                    mutex:lock()
                    moonloop.sleep(0)
                    mutex:unlock()
                end
            end)
        end
    end)
end)

report.measure("semaphore:with of an empty function", VALUES, function(times)
    local semaphore = moonloop.semaphore(1)
    local function empty() end
    for _ = 1, times do
        semaphore:with(empty)
    end
end)

report.measure("cache:get of a value that is there", VALUES, function(times)
    local cache = moonloop.cache({ ttl = 100, size = 10 })
    cache:set("a", 1)
    for _ = 1, times do
        cache:get("a")
    end
end)
