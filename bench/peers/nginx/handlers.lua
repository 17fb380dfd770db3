--- The works as an OpenResty user writes them. Content-Length is set, which saves nginx the chunked
--- framing.

-- luacheck: globals ngx

local cjson = require("cjson")

local ngx = ngx

local handlers = {}

local function respond(body, content_type)
    local header = ngx.header
    header["Content-Type"] = content_type
    header["Content-Length"] = #body
    ngx.print(body)
end

handlers.respond = respond

local function respond_json(value)
    respond(cjson.encode(value), "application/json")
end

function handlers.hello()
    respond("Hello, world!\n", "text/plain; charset=utf-8")
end

function handlers.json()
    respond_json({ message = "Hello, World!" })
end

function handlers.params()
    local var = ngx.var
    respond_json({
        id = tonumber(var[1]),
        slug = ngx.unescape_uri(var[2]),
        q = ngx.unescape_uri(var.arg_q),
        client = var.http_x_client,
    })
end

function handlers.echo()
    ngx.req.read_body()
    respond_json(cjson.decode(ngx.req.get_body_data()))
end

function handlers.sleep()
    ngx.sleep(0.05)
    handlers.hello()
end

local SPAWNS = 5000

local function empty() end

--- For bench/micro/spawn: microseconds of CPU time for the spawn and the wait of one empty thread.
function handlers.spawn()
    local spawn, wait, before = ngx.thread.spawn, ngx.thread.wait, os.clock()
    for _ = 1, SPAWNS do
        wait(spawn(empty))
    end
    respond(tostring((os.clock() - before) / SPAWNS * 1e6), "text/plain")
end

return handlers
