--- A wait that holds nobody up: ten of these at once take one second together, on one worker.
---
---     time (for i in $(seq 10); do curl -s localhost:8080/sleep/ & done; wait)

local moonloop = require("moonloop")
local app = moonloop.app()

app:get("/", function()
    local began = moonloop.now()
    moonloop.sleep(1) -- only this request waits; the loop serves the others
    return { slept = moonloop.now() - began }
end)

app:get("/{seconds:number}", function(req)
    moonloop.sleep(req.params.seconds)
    return { slept = req.params.seconds }
end)

return app
