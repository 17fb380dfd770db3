--- One word moves a handler off the loop. The handlers are the same function; with run = "thread" the whole of it,
--- blocking calls included, runs in another thread, and its return value is the answer all the same.
---
---     curl localhost:8080/unblock/loop      everyone else waits meanwhile
---     curl localhost:8080/unblock/thread    nobody waits

local blocking_sleep = require("blocking_sleep")
local moonloop = require("moonloop")
local app = moonloop.app()

local function handler()
    blocking_sleep(0.5)
    return { done = true }
end

app:get("/loop", handler)
app:get("/thread", { run = "thread" }, handler)

return app
