--- One request that asks five others: one by one it takes their sum, all at once as long as the slowest; and
--- with a deadline it answers with what has arrived by then.
---
---     curl localhost:8080/fanout/one-by-one
---     curl localhost:8080/fanout/together
---     curl localhost:8080/fanout/within/0.25

local http = require("moonloop.http")
local moonloop = require("moonloop")
local app = moonloop.app()

local NUMBERS = { 1, 2, 3, 4, 5 }

--- What is asked: part 1 takes 0.1 s, part 5 takes 0.5 s.
app:get("/part/{number:int}", function(req)
    moonloop.sleep(req.params.number / 10)
    return { part = req.params.number }
end)

--- The parts are served by this very server here; yours will be elsewhere. Only the port is taken from the
--- client's Host field, so that nobody can make us ask another machine.
local function urls(req)
    local port = (req.host or ""):match(":(%d+)$") or "80"
    local base = os.getenv("FANOUT_UPSTREAM") or "http://127.0.0.1:" .. port
    local list = {}
    for i, number in ipairs(NUMBERS) do
        list[i] = base .. "/fanout/part/" .. number
    end
    return list
end

local function get_part(url)
    return http.get(url):json().part
end

app:get("/one-by-one", function(req)
    local parts = {}
    for i, url in ipairs(urls(req)) do
        parts[i] = get_part(url)
    end
    return { parts = parts }
end)

app:get("/together", function(req)
    return { parts = moonloop.map(urls(req), get_part) }
end)

app:get("/within/{seconds:number}", function(req)
    local outcomes = moonloop.map(urls(req), get_part, { deadline = req.params.seconds, settle = true })
    local parts, late = moonloop.json.array({}), 0
    for _, outcome in ipairs(outcomes) do
        if outcome.ok then
            parts[#parts + 1] = outcome.value
        else
            late = late + 1
        end
    end
    return { parts = parts, late = late }
end)

return app
