--- Apps: where they are served, how their routes are found, what surrounds their handlers.

local json = require("cjson")
local process = require("spec.support.process")
local server = require("spec.support.server")

local function app(body, options)
    return ([[
local moonloop = require("moonloop")
local app = moonloop.app(%s)
%s
return app
]]):format(options or "", body)
end

local SITE = {
    ["index.lua"] = app('app:get("/", function() return "index" end) app:get("/about", function() return "about" end)'),
    ["shop.lua"] = app([[
app:get("/", function() return "shop" end)
app:get("/{name}", function(req) return "name " .. req.params.name end)
app:get("/{id:int}", function(req) return "int " .. req.params.id end)
app:get("/{n:number}", function(req) return "number " .. req.params.n end)
app:get("/new", function() return "new" end)
app:get("/{rest...}", function(req) return "rest " .. req.params.rest end)
app:post("/new", function() return "posted" end)
app:any("/any", function(req) return req.method end)
app:head("/head", function(req, res) res.headers["X-Head"] = "own" return "" end)
app:get("/head", function() return "get" end)
]]),
    ["folder/init.lua"] = app([[
local part = require("part")
local shared = require("shared")
app:get("/", function() return part .. " " .. shared.name end)
]]),
    ["folder/part.lua"] = 'return "part"',
    ["other/init.lua"] = app([[
local shared = require("shared")
shared.name = "changed"
app:get("/", function() return shared.name end)
app:get("/part", function() return tostring((pcall(require, "part"))) end)
app:get("/global", function() local t = {} for k in pairs(_G) do t[#t + 1] = tostring(k) end return #t > 20 and "full" end)
]]),
    ["_lib/shared.lua"] = 'return { name = "shared" }',
    ["_hidden.lua"] = app('app:get("/", function() return "hidden" end)'),
    ["moved.lua"] = app('app:get("/", function() return "moved" end)', '{ mount = "/else/where" }'),
    ["hosted.lua"] = app('app:get("/", function() return "hosted" end)', '{ mount = "/", host = "api.example.com" }'),
    ["around.lua"] = app([[
local function note(word)
    return function(req, res, next)
        local out = next()
        return word .. "(" .. tostring(out) .. ")"
    end
end
app:use(note("a"))
app:use(note("b"))
app:get("/", function() return "in" end)
app:group("/g", function(group)
    group:use(note("c"))
    group:get("/", function() return "group" end)
    group:group("/h", function(inner)
        inner:use(note("d"))
        inner:get("/x", function() return "deep" end)
    end)
end)
app:get("/after", function() return "after" end)
]]),
    ["early.lua"] = app([[
app:use(function(req, res, next)
    if req.query.stop then return "stopped", 403 end
    local ok, err = pcall(next)
    if not ok then return "caught " .. tostring(err.code or err):gsub("^.*: ", ""), 418 end
    return "passed", 201
end)
app:get("/", function() return "in" end)
app:get("/raise", function() error("oops", 0) end)
app:get("/abort", function() moonloop.abort(404) end)
]]),
    ["errors.lua"] = app([[
app:on_error(function(err, req, res) return { error = tostring(err.message), path = req.path } end)
app:not_found(function(req, res) return "nothing at " .. req.path end)
app:get("/raise", function() error("oops", 0) end)
app:get("/abort", function() moonloop.abort(409, "no") end)
app:get("/late", { timeout = 0.1 }, function() moonloop.sleep(3) end)
app:post("/json", function(req) return req:json() end)
]]),
    ["worse.lua"] = app([[
app:on_error(function() error("the handler of errors failed", 0) end)
app:get("/", function() error("oops", 0) end)
]]),
    ["busy.lua"] = app([[
app:get("/", { limit = 1 }, function() moonloop.sleep(0.5) return "slept" end)
]]),
    ["broken.lua"] = "return 5 +",
    ["noapp.lua"] = "return 5",
    ["raises.lua"] = 'error("at load")',
    ["twice.lua"] = app([[
app:get("/a/{x}", function() end)
app:get("/a/{y}", function() end)
]]),
    ["option.lua"] = app('app:get("/", { tiemout = 1 }, function() end)'),
    ["sneaky.lua"] = app('leaked = 1'),
    ["curious.lua"] = app('print(mispelled)'),
    ["named.lua"] = 'require("moonloop").app("named")',
    ["backwards.lua"] = app('app:get("/", function() end, { timeout = 1 })'),
}

describe("apps", function()
    local site
    lazy_setup(function()
        site = server.start({ apps = SITE })
    end)
    lazy_teardown(server.clean)

    local function body(path)
        return site:get(path).body
    end

    it("are mounted by their file's name", function()
        assert.equal("index", body("/"))
        assert.equal("about", body("/about"))
        assert.equal("shop", body("/shop/"))
        assert.equal("moved", body("/else/where/"))
        assert.equal(404, site:get("/moved/").status)
        assert.equal(404, site:get("/_hidden/").status)
        assert.equal(404, site:get("/_lib/").status)
    end)

    it("see their own modules and those of _lib, each a copy of its own", function()
        assert.equal("part shared", body("/folder/"))
        assert.equal("changed", body("/other/"))
        assert.equal("false", body("/other/part"))
        assert.equal("full", body("/other/global"))
    end)

    it("may be for one host", function()
        local connection = site:connect()
        connection:send("GET / HTTP/1.1\r\nHost: API.example.com:80\r\n\r\n")
        assert.equal("hosted", connection:read_response().body)
        connection:send("GET / HTTP/1.1\r\nHost: www.example.com\r\n\r\n")
        assert.equal("index", connection:read_response().body)
        connection:close()
    end)

    it("have one file each, and methods that are called with a colon", function()
        local other = server.start({ apps = {
            ["twice.lua"] = app(""), ["twice/init.lua"] = app(""),
            ["dot.lua"] = app('app.get("/", function() end)'),
            ["fine.lua"] = app('app:get("/", function() return "fine" end)'),
        } })
        other:wait_log("apps/twice.lua and apps/twice/init.lua would both be the app twice")
        other:wait_log("apps/dot.lua:3: call it with a colon: app:get(pattern, handler)")
        assert.equal("fine", other:get("/fine/").body)
        assert.equal(500, other:get("/twice/").status)
        other:stop()
    end)

    it("are listed with their host", function()
        assert.matches("api.example.com/", site:call("routes", "--running").out, 1, true)
    end)

    it("redirect to the trailing slash, with the query", function()
        local response = site:get("/shop?a=b")
        assert.equal(308, response.status)
        assert.equal("/shop/?a=b", response.headers.location)
    end)

    it("prefer literals to int, number, name and rest", function()
        assert.equal("new", body("/shop/new"))
        assert.equal("int 5", body("/shop/5"))
        assert.equal("number 5.5", body("/shop/5.5"))
        assert.equal("name x y", body("/shop/x%20y"))
        assert.equal("name a/b", body("/shop/a%2Fb"))
        assert.equal("rest a/b", body("/shop/a/b"))
        assert.equal("new", body("/shop/%6eew"))
    end)

    it("answer 405 with Allow, OPTIONS and HEAD", function()
        assert.equal("posted", site:request("POST", "/shop/new").body)
        local wrong = site:request("DELETE", "/about")
        assert.equal(405, wrong.status)
        assert.equal("GET, HEAD, OPTIONS", wrong.headers.allow)
        assert.equal("GET, HEAD, POST, OPTIONS", site:request("OPTIONS", "/shop/new").headers.allow)
        assert.equal("PATCH", site:request("PATCH", "/shop/any").body)
        assert.equal("5", site:request("HEAD", "/about").headers["content-length"])
        assert.equal("own", site:request("HEAD", "/shop/head").headers["x-head"])
    end)

    it("run middleware outermost first, groups inside", function()
        assert.equal("a(b(in))", body("/around/"))
        assert.equal("a(b(c(group)))", body("/around/g/"))
        assert.equal("a(b(c(d(deep))))", body("/around/g/h/x"))
        assert.equal("a(b(after))", body("/around/after"))
    end)

    it("may return early and catch what handlers raise", function()
        assert.equal(403, site:get("/early/?stop=1").status)
        assert.equal("passed", body("/early/"))
        assert.equal("caught oops", body("/early/raise"))
        assert.equal("caught abort", body("/early/abort"))
    end)

    it("answer for errors and for missing paths", function()
        local response = site:get("/errors/raise")
        assert.equal(500, response.status)
        assert.same({ error = "oops", path = "/errors/raise" }, json.decode(response.body))
        assert.equal(409, site:get("/errors/abort").status)
        assert.equal(504, site:get("/errors/late").status)
        assert.equal(400, site:request("POST", "/errors/json", { body = "{" }).status)
        response = site:get("/errors/none")
        assert.equal(404, response.status)
        assert.equal("nothing at /errors/none", response.body)
        assert.equal("not found\n", body("/none"))
    end)

    it("whose error handler fails answer 500 all the same", function()
        assert.equal(500, site:get("/worse/").status)
        site:wait_log("the handler of errors failed")
    end)

    it("answer 503 with Retry-After beyond a route's limit", function()
        local first = site:connect()
        first:send("GET /busy/ HTTP/1.1\r\nHost: a\r\n\r\n")
        site:wait_status("the first", function(status) return status.workers[1].in_flight == 1 end)
        local response = site:get("/busy/")
        assert.equal(503, response.status)
        assert.equal("1", response.headers["retry-after"])
        assert.equal("slept", first:read_response().body)
        assert.equal("slept", body("/busy/"))
        first:close()
    end)

    it("that fail to load answer 500 and are reported with the place", function()
        for _, name in ipairs({ "broken", "noapp", "raises", "twice", "option", "sneaky", "curious", "named",
            "backwards" }) do
            assert.equal(500, site:get("/" .. name .. "/").status, name)
        end
        assert.equal(500, site:get("/twice/a/b").status)
        site:wait_log("apps/broken.lua:1:")
        site:wait_log("return app")
        site:wait_log("apps/raises.lua:1: at load")
        site:wait_log("apps/twice.lua:4: GET /twice/a/{y}")
        site:wait_log("apps/twice.lua:3")
        site:wait_log("unknown option tiemout; did you mean timeout?")
        site:wait_log('apps/curious.lua:3: undeclared global "mispelled" is read; it is misspelled, or')
        site:wait_log("apps/named.lua:1: moonloop.app: expected a table of options, got a string; the name of an app")
        site:wait_log("apps/backwards.lua:3: GET /: the options come before the handler")
        site:wait_log('apps/sneaky.lua:3: undeclared global "leaked" is written')
    end)
end)

describe("an app's life", function()
    after_each(server.clean)

    it("starts, stops and keeps its state over reloads", function()
        local dir = process.directory()
        local text = app(([[
local state = app:state("hits", function() return { count = 0 } end)
local function say(word) local f = io.open("%s/log", "a") f:write(word, "\n") f:close() end
app:on_start(function() moonloop.sleep(0) say("start VERSION") end)
app:on_stop(function() say("stop VERSION") end)
app:get("/", function() state.count = state.count + 1 return "VERSION " .. state.count end)
]]):format(dir))
        local function log()
            return process.read(dir .. "/log") or ""
        end
        local site = server.start({ apps = { ["a.lua"] = (text:gsub("VERSION", "one")) } })
        assert.equal("one 1", site:get("/a/").body)
        assert.equal("one 2", site:get("/a/").body)
        site:write("a.lua", (text:gsub("VERSION", "two")))
        process.wait_for("the second version", function()
            return site:get("/a/").body:find("^two") -- counts on
        end)
        local count = tonumber(site:get("/a/").body:match("%d+"))
        assert.is_true(count >= 4)
        process.wait_for("the first to stop", function() return log():find("stop one") end)
        assert.equal("start one\nstart two\nstop one\n", log())
        site:stop()
        assert.equal("start one\nstart two\nstop one\nstop two\n", log())
    end)

    it("loses only state that is no plain data, and says so", function()
        local text = app('local s = app:state("s") s.f = s.f or print app:get("/", function() return "VERSION" end)')
        local site = server.start({ apps = { ["a.lua"] = text } })
        site:write("a.lua", (text:gsub("VERSION", "two")))
        site:wait_log('state "s" of app a does not survive the reload')
        process.wait_for("the second version", function() return site:get("/a/").body == "two" end)
    end)
end)

describe("the error page", function()
    after_each(server.clean)
    local APP = app([[
app:get("/", function(req)
    error("<script>alert(1)</script> & " .. (req.query.q or ""))
end)
]])

    it("shows message, source, traceback and request in dev, escaped", function()
        local site = server.start({ apps = { ["a.lua"] = APP }, options = { "--dev" } })
        local response = site:get("/a/?q=%3Cb%3Ex&<i>", { headers = { ["X-Evil"] = "<img src=x>\"'" } })
        assert.equal(500, response.status)
        assert.equal("text/html; charset=utf-8", response.headers["content-type"])
        local page = response.body
        assert.falsy(page:find("<script>", 1, true))
        assert.falsy(page:find("<b>", 1, true))
        assert.falsy(page:find("<img", 1, true))
        assert.falsy(page:find("q=%3Cb%3Ex&<i>", 1, true))
        assert.truthy(page:find("&lt;script&gt;alert(1)&lt;/script&gt; &amp; &lt;b&gt;x", 1, true))
        assert.truthy(page:find("apps/a.lua:4", 1, true))
        assert.truthy(page:find('<span class="here"><i>   4</i>     error(&quot;&lt;script', 1, true))
        assert.truthy(page:find("stack traceback", 1, true))
        assert.truthy(page:find(response.headers["x-request-id"], 1, true))
        assert.truthy(page:find("x-evil", 1, true))
    end)

    it("is never shown outside dev", function()
        local site = server.start({ apps = { ["a.lua"] = APP } })
        assert.equal("internal server error\n", site:get("/a/").body)
    end)
end)
