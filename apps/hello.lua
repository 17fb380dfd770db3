--- The smallest app: a text, a parameter, JSON.
---
---     curl localhost:8080/hello/
---     curl localhost:8080/hello/Ada
---     curl localhost:8080/hello/add/2/3

local moonloop = require("moonloop")
local app = moonloop.app()

local GREETING = "Hello" -- change this word and save: the next request has it

app:get("/", function()
    return GREETING .. ", world!\n"
end)

app:get("/{name}", function(req)
    return GREETING .. ", " .. req.params.name .. "!\n"
end)

app:get("/add/{a:number}/{b:number}", function(req)
    return { sum = req.params.a + req.params.b } -- a table becomes JSON
end)

return app
