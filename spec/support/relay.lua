--- For the specs of moonloop.proxy: the app of a server that passes requests on, and plays the server behind as well.

local origin = require("spec.support.origin")
local server = require("spec.support.server")

local M = {}

M.APP = [[
local moonloop = require("moonloop")
local app = moonloop.app()

local function local_url(port) return "http://127.0.0.1:" .. port end

local function relay(path, options)
    app:any(path, { max_body = 0, timeout = options.route_timeout }, function(req)
        local own = {}
        for name, value in pairs(options) do own[name] = value end
        own.route_timeout = nil
        own.strip = req.path:match("^/[^/]+/%d+")
        return moonloop.proxy(req, local_url(req.params.port), own)
    end)
end

relay("/to/{port:int}/{path...}", {})
relay("/long/{port:int}/{path...}", { route_timeout = 0 })
relay("/keep/{port:int}/{path...}", { preserve_host = true, forwarded = true, via = "gate" })
relay("/set/{port:int}/{path...}", { headers = { ["X-Own"] = { "1", "2" }, Accept = false, cookie = "z=1" } })
relay("/brief/{port:int}/{path...}", { timeout = 0.1 })
relay("/idle/{port:int}/{path...}", { idle_timeout = 0.1 })
relay("/silent/{port:int}/{path...}", { tunnel_timeout = 0.1 })
relay("/noup/{port:int}/{path...}", { upgrade = false })
relay("/sorry/{port:int}/{path...}", { on_error = function(err, req)
    return { code = err.code, cause = err.cause and err.cause.stage }, err.status, { ["X-Sorry"] = "yes" }
end })

app:get("/with/{port:int}/{path...}", function(req, res)
    res.headers["X-Before"] = "kept"
    res.headers["content-type"] = "text/never"
    return moonloop.proxy(req, local_url(req.params.port), { strip = "/with/" .. req.params.port })
end)

app:get("/fixed/{port:int}", function(req)
    return moonloop.proxy(req, local_url(req.params.port) .. "/base/", { path = function(path, r)
        return "/asked" .. (r.query.at or "")
    end })
end)

local pairs_of = {}
app:any("/pair/{a:int}/{b:int}/{path...}", { max_body = 0 }, function(req)
    local key = req.params.a .. "-" .. req.params.b
    pairs_of[key] = pairs_of[key] or moonloop.upstream({
        local_url(req.params.a), local_url(req.params.b), max_fails = 2, fail_timeout = 0.3, fail_on = { 503 },
    })
    return moonloop.proxy(req, pairs_of[key], { timeout = 2 })
end)
app:get("/status/{a:int}/{b:int}", function(req)
    return pairs_of[req.params.a .. "-" .. req.params.b]:status()
end)

local group = app:group("/guarded", function(g)
    g:use(function(req, res, next)
        res.headers["X-Guard"] = "seen"
        return next()
    end)
    g:get("/{port:int}/{path...}", function(req)
        return moonloop.proxy(req, local_url(req.params.port), { strip = "/guarded/" .. req.params.port })
    end)
end)

app:post("/small/{port:int}/{path...}", { max_body = 10 }, function(req)
    return moonloop.proxy(req, local_url(req.params.port), { strip = "/small/" .. req.params.port })
end)
app:get("/hasty/{port:int}/{path...}", { timeout = 0.1 }, function(req)
    return moonloop.proxy(req, local_url(req.params.port))
end)

app:post("/read/{port:int}", function(req)
    local body = req:body()
    return moonloop.proxy(req, local_url(req.params.port), { path = "/echo", headers = { ["X-Length"] = #body } })
end)
app:get("/wrong", function(req)
    local ok, err = pcall(moonloop.proxy, req, "http://localhost", { stirp = "/a" })
    local _, second = pcall(moonloop.proxy, req, { { url = "http://localhost" } })
    local _, third = pcall(moonloop.proxy, req, "localhost:80")
    local _, fourth = pcall(moonloop.proxy, req, "http://localhost", { strip = "api" })
    return { err, second, third, fourth }
end)

-- What stands behind, and is not moonloop's own proxy.
app:any("/sink", { max_body = 0, timeout = 0 }, function(req)
    local count = 0
    for chunk in req:chunks() do
        if count == 0 then moonloop.log.info("sink has begun " .. req.target) end
        count = count + #chunk
    end
    return { count = count, length = req.headers["content-length"], coding = req.headers["transfer-encoding"] }
end)
app:get("/flood", { timeout = 0 }, function(req, res)
    local chunk, sent = ("x"):rep(65536), 0
    for i = 1, tonumber(req.query.chunks) do
        res:write(chunk)
        sent = sent + #chunk
        if i % 16 == 0 then moonloop.log.info("flood sent " .. sent) end
    end
    moonloop.log.info("flood done")
end)
app:get("/echo-protocol", function(req)
    local connection = req:upgrade("echo", { ["X-Accepted"] = req.headers["x-key"] })
    for bytes in connection:chunks() do connection:write(bytes) end
    connection:write("bye")
end)
app:get("/hints", function(req, res) return "hi" end)
return app
]]

---Both sides, one worker in front; server.clean() and upstream:stop() end them.
---@return spec.Server site
---@return table upstream an origin
function M.start()
    local upstream = origin.start()
    return server.start({ apps = { ["index.lua"] = M.APP }, options = { "--workers", "1" } }), upstream
end

---The path at the server in front for `path` at the one behind.
---@param port integer of the one behind
---@param path string
---@param how? string which of the app's routes; "to"
---@return string
function M.to(port, path, how)
    return ("/%s/%d%s"):format(how or "to", port, path)
end

---Fields of a head, by lower-case name; several are joined with "|".
---@param text string
---@return table<string, string>
function M.fields_of(text)
    local found = {}
    for name, value in text:gmatch("\r\n([%w-]+): ([^\r]*)") do
        found[name:lower()] = found[name:lower()] and found[name:lower()] .. "|" .. value or value
    end
    return found
end

return M
