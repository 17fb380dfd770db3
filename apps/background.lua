--- Work beside the requests: a task that is always there, one that comes again and again, one that somebody asks for.
--- All of it begins before the first request is accepted; a reload goes on with the new code.
---
---     curl localhost:8080/background/          how it stands
---     curl localhost:8080/background/stop      the timer stands still; /start goes on
---     curl localhost:8080/background/export    starts a job of ten seconds, or finds the one that runs

local moonloop = require("moonloop")
local app = moonloop.app()

local orders = moonloop.channel(100)
local shipped = app:state("shipped", function() return { count = 0 } end)

--- Always there: takes what others leave for it. When its code is replaced or the worker stops, its wait raises.
local shipper = app:background("shipper", function()
    for _ in orders do
        shipped.count = shipped.count + 1
    end
end)

--- Again and again, at a fixed rate, in each worker.
local beat = app:every(1, function()
    orders:send("an order")
end, { name = "beat" })

--- In one worker of all; when that one dies, another goes on.
local total = app:every(1, function()
    moonloop.shared("background example"):incr("seconds")
end, { name = "total", once = "server" })

--- At a time of day.
local report = app:cron("30 6 * * mon-fri", function()
    moonloop.log.info("good morning")
end, { name = "report", zone = "Europe/Berlin" })

local function describe(handle)
    return {
        name = handle.name, state = handle.state, runs = handle.runs, next_run = handle.next_run,
        last_error = handle.last_error and handle.last_error.message,
    }
end

app:get("/", function()
    return {
        shipper = describe(shipper), beat = describe(beat), total = describe(total), report = describe(report),
        shipped = shipped.count, seconds = moonloop.shared("background example"):get("seconds", 0),
    }
end)

app:get("/stop", function()
    return describe(beat:stop())
end)

app:get("/start", function()
    return describe(beat:start())
end)

app:get("/export", function(req)
    local seconds = tonumber(req.query.seconds) or 10
    local job, is_new = app:background("export", function()
        moonloop.sleep(seconds) -- stands for work; a stop of the server waits for it
        moonloop.log.info("the export is there")
    end)
    return { is_new = is_new, state = job.state }, 202
end)

return app
