--- The works of bench/load on moonloop, as a user writes them.

local moonloop = require("moonloop")

local app = moonloop.app()

app:get("/", function()
    return "Hello, world!\n"
end)

app:get("/json", function()
    return { message = "Hello, World!" }
end)

app:get("/users/{id:int}/posts/{slug}", function(req)
    local params = req.params
    return { id = params.id, slug = params.slug, q = req.query.q, client = req.headers["X-Client"] }
end)

app:post("/echo", function(req)
    return req:json()
end)

app:get("/sleep", function()
    moonloop.sleep(0.05)
    return "Hello, world!\n"
end)

return app
