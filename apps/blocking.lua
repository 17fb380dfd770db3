--- The mistake: a call that blocks the whole thread. Ten of these at once take ten times as long as one, and
--- every other request of the worker waits as well. The log tells which handler did it; beyond block_limit (1 s)
--- the handler is interrupted and answered 500.
--- apps/sleep.lua is the way out where a call can wait without blocking; apps/unblock.lua where it cannot.
---
---     time (for i in $(seq 10); do curl -s localhost:8080/blocking/0.3 & done; wait)

local blocking_sleep = require("blocking_sleep")
local moonloop = require("moonloop")
local app = moonloop.app()

app:get("/", function()
    blocking_sleep(0.7) -- nothing else happens on this loop meanwhile
    return { blocked = 0.7 }
end)

app:get("/{seconds:number}", function(req)
    blocking_sleep(req.params.seconds)
    return { blocked = req.params.seconds }
end)

return app
