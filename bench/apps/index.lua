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

local SPAWNS = 5000

local function empty() end

--- For bench/micro/spawn: microseconds of CPU time for the spawn and the wait of one empty task.
app:get("/spawn", function()
    local spawn, before = moonloop.spawn, os.clock()
    for _ = 1, SPAWNS do
        spawn(empty):wait()
    end
    return tostring((os.clock() - before) / SPAWNS * 1e6)
end)

return app
