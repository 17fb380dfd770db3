--- Pools of an app, through a real server: across reloads, with the app's modules, in the log.

local cjson = require("cjson")
local process = require("spec.support.process")
local server = require("spec.support.server")

--- An app with one pool, made with those options; /thread says which thread runs its jobs.
local function with_pool(options)
    return ([[
local moonloop = require("moonloop")
local whereabouts = require("whereabouts")
local app = moonloop.app()
local pool = moonloop.pool(%s)
app:get("/thread", function() return pool:run(function() return whereabouts.thread() .. "\n" end) end)
app:get("/stats", function() return pool:stats() end)
return app
]]):format(options)
end

local WITHOUT = [[
local app = require("moonloop").app()
app:get("/", function() return "no pool\n" end)
return app
]]

local INSIDE = [[
local moonloop = require("moonloop")
local words = require("words")
local app = moonloop.app()
local threads = moonloop.pool({ size = 1, name = "inside" })
local processes = moonloop.pool({ size = 1, kind = "process" })
local function pool_of(req) return req.params.kind == "process" and processes or threads end
app:get("/require/{kind}", function(req)
    return pool_of(req):run(function()
        return require("words").hello .. " " .. words.hello .. " " .. tostring(require("words") == words) .. "\n"
    end)
end)
app:get("/missing/{kind}", function(req)
    return pool_of(req):run(function() return require("no.such.module") end)
end)
app:get("/log/{kind}", function(req)
    return pool_of(req):run(function()
        moonloop.log.info("directly")
        moonloop.spawn(function() moonloop.log.info("from a task") end):wait()
        moonloop.offload(function() moonloop.log.info("one deeper") end)
        return "logged\n"
    end)
end)
app:get("/req/{kind}", function(req)
    req.context.user = "Ada"
    return pool_of(req):run(function()
        return { path = req.path, header = req.headers["X-FOO"], all = req:query_all("x"), user = req.context.user,
            id = req.id }
    end)
end)
app:post("/body/{kind}", function(req)
    local early = req.query.early and req:body()
    return pool_of(req):run(function() return req:body(), early and 200 end)
end)
local hits, lock, chat = moonloop.shared("hits"), moonloop.lock("hits"), moonloop.topic("hits")
app:get("/shared/{kind}", function(req)
    local heard = chat:subscribe()
    hits:set("n", 10)
    local count = pool_of(req):run(function()
        return lock:with(function()
            chat:publish("counted")
            return hits:incr("n")
        end)
    end)
    return { count, hits:get("n"), (heard:recv()) }
end)
app:get("/res/{kind}", function(req, res)
    return pool_of(req):run(function() res.status = 201 end)
end)
app:get("/route", { run = "thread" }, function()
    return { sum = threads:run(function(a) return a + 1 end, 1), stats = threads:stats().size }
end)
return app
]]

local function start(apps)
    apps["_lib/whereabouts.lua"] = assert(process.read("apps/_lib/whereabouts.lua"))
    apps["_lib/words.lua"] = 'return { hello = "hello" }'
    return server.start({ apps = apps, options = { "--workers", "1", "--threads", "2" } })
end

local function reload(site, text)
    site:write("pool.lua", text)
    local answer = site:call("reload", "--wait")
    assert.equal(0, answer.code, answer.err)
    site:wait_status("one generation", function(status)
        return status.workers[1].generations_alive == 1
    end)
end

local function count_threads(site)
    local count = 0
    for name in require("posix.dirent").files("/proc/" .. site:worker_pids()[1] .. "/task") do
        count = count + (name:match("^%d+$") and 1 or 0)
    end
    return count
end

describe("a pool of an app", function()
    after_each(server.clean)

    it("goes on across a reload that keeps its name and options, with the same threads", function()
        local site = start({ ["pool.lua"] = with_pool('{ name = "kept", size = 1 }') })
        local thread = site:get("/pool/thread").body
        for round = 1, 3 do
            reload(site, "-- round " .. round .. "\n" .. with_pool('{ name = "kept", size = 1 }'))
            assert.equal(thread, site:get("/pool/thread").body)
        end
        assert.equal(4, cjson.decode(site:get("/pool/stats").body).jobs)
    end)

    it("is another one after a reload with other options, and the old one's threads end", function()
        local site = start({ ["pool.lua"] = with_pool('{ name = "kept", size = 1 }') })
        site:get("/pool/thread")
        local before = count_threads(site)
        reload(site, with_pool('{ name = "kept", size = 1, queue = 5 }'))
        site:get("/pool/thread")
        local stats = cjson.decode(site:get("/pool/stats").body)
        assert.same({ 1, 5 }, { stats.jobs, stats.queue })
        process.wait_for("the old pool's thread to end", function()
            return count_threads(site) == before
        end)
    end)

    it("ends with its generation when it has no name, or its name is gone", function()
        local site = start({ ["pool.lua"] = WITHOUT })
        local before = count_threads(site)
        for _, options in ipairs({ "{ size = 1 }", '{ size = 1, name = "gone" }', "{ size = 1 }" }) do
            reload(site, with_pool(options))
            site:get("/pool/thread")
        end
        reload(site, WITHOUT)
        process.wait_for("the threads of all pools to end", function()
            return count_threads(site) == before
        end)
    end)

    it("is shown by ps", function()
        local site = start({ ["pool.lua"] = with_pool('{ name = "kept", size = 3 }') })
        site:get("/pool/thread")
        assert.matches("kept.*kind thread, 0 of 3 busy, 0 of 1000 waiting, 0 failed", site:call("ps").out)
    end)

    it("is refused at load when two apps mean different pools by one name", function()
        local site = start({
            ["a.lua"] = with_pool('{ name = "same", size = 1 }'), ["b.lua"] = with_pool('{ name = "same", size = 2 }'),
            ["c.lua"] = with_pool('{ name = "same" }'),
        })
        local log = site:wait_log('pool "same" has size')
        assert.matches('apps[^\n]*/b.lua:4: pool "same" has size = 1 already, not 2', log)
        assert.equal(200, site:get("/c/thread").status)
    end)
end)

for _, kind in ipairs({ "thread", "process" }) do
    describe("a job on a " .. kind, function()
        local site

        before_each(function()
            site = start({ ["in.lua"] = INSIDE })
        end)
        after_each(server.clean)

        it("requires the app's own modules", function()
            assert.equal("hello hello true\n", site:get("/in/require/" .. kind).body)
            assert.equal(500, site:get("/in/missing/" .. kind).status)
            site:wait_log('module "no.such.module" is neither in')
        end)

        it("logs with the id, app and route of the request that sent it, at any depth", function()
            local id = site:get("/in/log/" .. kind).headers["x-request-id"]
            for _, text in ipairs({ "directly", "from a task", "one deeper" }) do
                local line = site:wait_log(text):match("[^\n]*" .. text .. "[^\n]*")
                assert.matches("request_id=" .. id .. " app=in route=/in/log/{kind}", line, 1, true)
            end
        end)

        it("shares dictionaries, locks and topics with the rest of the server", function()
            assert.same({ 11, 11, "counted" }, cjson.decode(site:get("/in/shared/" .. kind).body))
        end)

        it("has a copy of the request, and its body when that was read before", function()
            local answer = site:request("GET", "/in/req/" .. kind .. "?x=1&x=2", { headers = { ["X-Foo"] = "bar" } })
            assert.same({
                path = "/in/req/" .. kind, header = "bar", all = { "1", "2" }, user = "Ada",
                id = answer.headers["x-request-id"],
            }, cjson.decode(answer.body))
            assert.equal("text", site:request("POST", "/in/body/" .. kind .. "?early=1", { body = "text" }).body)
            assert.equal(500, site:request("POST", "/in/body/" .. kind, { body = "text" }).status)
            site:wait_log("req:body() was not read before the request was sent to another VM")
            assert.equal(500, site:get("/in/res/" .. kind).status)
            site:wait_log("upvalue 'res': cannot send a moonloop.Response to another VM")
        end)
    end)
end

describe("a route that runs on a thread", function()
    after_each(server.clean)

    it("finds the app's pools there, whose jobs run where they are", function()
        local site = start({ ["in.lua"] = INSIDE })
        assert.same({ sum = 2, stats = 1 }, cjson.decode(site:get("/in/route").body))
    end)
end)
