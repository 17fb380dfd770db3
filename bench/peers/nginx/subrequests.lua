--- The same answers by nginx's own client: subrequests to a location that is a proxy.

-- luacheck: globals ngx

local handlers = require("handlers")

local ngx = ngx

local client = {}

local function check(answer)
    return answer.status == 200 and answer.body or error("status " .. answer.status)
end

function client.fetch()
    handlers.respond(check(ngx.location.capture("/origin/")), "text/plain; charset=utf-8")
end

local WANTED = { { "/origin/1" }, { "/origin/2" }, { "/origin/3" }, { "/origin/4" }, { "/origin/5" } }

function client.fanout()
    local a, b, c, d, e = ngx.location.capture_multi(WANTED)
    handlers.respond(table.concat({ check(a), check(b), check(c), check(d), check(e) }), "text/plain; charset=utf-8")
end

return client
