--- An app that knows nothing of event loops, moved off the loop as it is: one option for all its routes.
--- Two requests at once take as long as one.
---
---     time (curl -s localhost:8080/synchronous/ & curl -s localhost:8080/synchronous/ & wait)

local blocking_sleep = require("blocking_sleep")
local moonloop = require("moonloop")
local app = moonloop.app({ run = "thread" })

app:get("/", function()
    blocking_sleep(1)
    return "done, the blocking way\n"
end)

app:get("/{seconds:number}", function(req)
    blocking_sleep(req.params.seconds)
    return "done, the blocking way\n"
end)

return app
