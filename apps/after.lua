--- Answers at once and works on afterwards: two jobs, of ten and of five seconds, both under way at the same time.
---
---     curl localhost:8080/after/               answered at once
---     curl localhost:8080/after/log            what the jobs of this worker did, and when
---     curl localhost:8080/after/?unit=0.1      the same, ten times as fast
---
--- Stop the server in between (Ctrl-C): it waits for both.

local moonloop = require("moonloop")
local app = moonloop.app()

local KEPT = 20
local events = app:state("events") -- survives reloads

local function note(id, text)
    events[#events + 1] = ("%s %s"):format(id, text)
    if #events > KEPT then
        table.remove(events, 1)
    end
    moonloop.log.info(text) -- the line names the request as well
end

app:get("/", function(req)
    local unit = tonumber(req.query.unit or 1) -- seconds
    if not (unit and unit >= 0 and unit <= 60) then
        moonloop.abort(400, "unit: expected 0 to 60 seconds\n") -- before the answer has left
    end
    local id, began = req.id, moonloop.now() -- req itself is closed when the jobs run

    local function job1()
        note(id, "job1 begins")
        moonloop.sleep(10 * unit)
        note(id, "job1 has ended")
    end

    local function job2(greeting, number)
        note(id, ("job2 begins with %s, %d"):format(greeting, number))
        moonloop.sleep(5 * unit)
        note(id, "job2 has ended")
    end

    req:after(job1)
    req:after(job2, "hello", 123)
    note(id, "the handler returns")
    return { answered_after = moonloop.now() - began, request = id }
end)

app:get("/log", function()
    return moonloop.json.array(events)
end)

return app
