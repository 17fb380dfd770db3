--- A reverse proxy before two servers: requests go to them in turn, and one that fails is left out until it is well
--- again. The client notices nothing of it.
---
---     curl localhost:8080/gateway/pages/hello                  # again: the other one answers
---     curl -X POST localhost:8080/gateway/servers/red/break    # and the blue one answers everything
---     curl localhost:8080/gateway/status
---     curl -X POST localhost:8080/gateway/servers/red/mend

local moonloop = require("moonloop")
local app = moonloop.app()

local COLOURS = { "red", "blue" }

--- Both are routes of this very server here; yours are elsewhere, and then the upstream is made at the top of the
--- file: moonloop.upstream({ "http://10.0.0.1:8080", "http://10.0.0.2:8080" }). Only the port is taken from the
--- client's Host field, so that nobody can make us ask another machine.
local upstream
local function servers(req)
    local port = (req.host or ""):match(":(%d+)$") or "80"
    local base = os.getenv("GATEWAY_UPSTREAM") or "http://127.0.0.1:" .. port
    upstream = upstream or moonloop.upstream({
        base .. "/gateway/servers/red", base .. "/gateway/servers/blue",
        max_fails = 2, fail_timeout = 5, fail_on = { 503 },
    })
    return upstream
end

app:any("/pages/{path...}", { max_body = 0 }, function(req)
    return moonloop.proxy(req, servers(req), { strip = "/gateway/pages" })
end)

app:get("/status", function(req)
    return servers(req):status()
end)

local broken = moonloop.shared("gateway")

for _, colour in ipairs(COLOURS) do
    app:post("/servers/" .. colour .. "/break", function() broken:set(colour, true) end)
    app:post("/servers/" .. colour .. "/mend", function() broken:delete(colour) end)
    app:any("/servers/" .. colour .. "/{path...}", function(req)
        if broken:get(colour) then
            return "broken\n", 503
        end
        return { from = colour, path = req.params.path, asked_by = req.headers["X-Forwarded-For"] }
    end)
end

return app
