--- A gallery of concurrency patterns: each is a small file in this folder, and the page at /patterns/ runs it and
--- draws what happened.
---
---     curl localhost:8080/patterns/run/fan_out

local gallery = require("gallery")
local moonloop = require("moonloop")
local show = require("show")
local app = moonloop.app()

local NAMES = {
    "sequential", "fan_out", "bounded_pool", "race", "hedged_request", "first_of_mirrors", -- several things at once
    "pipeline", "fan_in", "producer_consumer", "publish_subscribe", -- values that go from one to another
    "rate_limit", "retry", "circuit_breaker", "single_flight", "cache_stampede", -- others are spared
    "periodic_with_leader", "saga", "ten_by_seven",
}

-- "apps/patterns/": how the reader finds the files.
local FOLDER = debug.getinfo(1, "S").short_src:match("^(.-)[^/]*$")

local patterns = {}
for i, name in ipairs(NAMES) do
    local pattern = require(name)
    pattern.name, pattern.file = name, FOLDER .. name .. ".lua"
    patterns[i], patterns[name] = pattern, pattern
    if pattern.setup then
        pattern.setup(app)
    end
end

app:get("/", function(_, res)
    return res:html(gallery.render(patterns))
end)

app:get("/run/{name}", function(req)
    local pattern = patterns[req.params.name]
    if not pattern then
        moonloop.abort(404, "no such pattern: " .. req.params.name .. "\n")
    end
    local shown, story = show.new()
    local result = pattern.run(shown)
    local told = story()
    told.result = result
    return told
end)

return app
