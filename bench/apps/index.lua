--- The works of bench/load on moonloop, as a user writes them.

local moonloop = require("moonloop")
local http = require("moonloop.http")

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

-- What bench/load has set up for `fetch` and `fanout`; as many connections as all requests at once can use.
local origin = os.getenv("BENCH_ORIGIN") or "http://127.0.0.1:9"
local client = http.client({ base_url = origin, connections = 512 })

local function fetch(path)
    return client:get(path):body()
end

app:get("/fetch", function()
    return fetch("/")
end)

local PATHS = { "/1", "/2", "/3", "/4", "/5" }

app:get("/fanout", function()
    return table.concat(moonloop.map(PATHS, fetch))
end)

local behind = moonloop.upstream({ origin, client = { connections = 512 } })

app:get("/proxy", function(req)
    return moonloop.proxy(req, behind, { strip = "/proxy" })
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
