--- Which address to tell your colleagues: serve with --bind 0.0.0.0:8080, and look here or at what serve prints.
---
---     curl localhost:8080/address/

local moonloop = require("moonloop")
local app = moonloop.app()

app:get("/", function(req)
    return { this_machine = moonloop.host_ip(), you = req.remote_addr }
end)

return app
