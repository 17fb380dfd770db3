local process = require("spec.support.process")
local server = require("spec.support.server")
local testing = require("moonloop.testing")

--- An app around these routes. `say(text)` writes a line to the file `said` beside the apps.
local HEAD = [[
local moonloop = require("moonloop")
local app = moonloop.app(OPTIONS)
local function say(...) local f = io.open("SAID", "a") f:write(table.concat({ ... }, " "), "\n") f:close() end
]]

describe("req:after", function()
    local site

    after_each(server.clean)

    local function start(text, given)
        given = given or {}
        given.dir = process.directory()
        local head = HEAD:gsub("SAID", given.dir .. "/said"):gsub("OPTIONS", given.app_options or "")
        given.apps = { ["a.lua"] = head .. text .. "\nreturn app\n" }
        site = server.start(given)
    end

    local function said()
        return process.read(site.dir .. "/said") or ""
    end

    local function wait_said(text)
        process.wait_for(text .. " to be said", function() return said():find(text, 1, true) end)
    end

    --- The line of the log with this text.
    local function log_line(text)
        site:wait_log(text)
        for line in site:log():gmatch("[^\n]+") do
            if line:find(text, 1, true) then
                return line
            end
        end
    end

    it("runs when the answer has left, with its arguments, nil among them", function()
        start([[
app:get("/", function(req)
    req:after(function(...) say("after", select("#", ...), ...) end, 1, "two", false and 1 or nil)
    req:after(function(a, b, c) say(tostring(a), tostring(b), tostring(c)) end, nil, false, nil)
    say("handler")
    return "answer"
end)
]])
        local connection = site:connect()
        assert.equal("answer", connection:request("GET", "/a/").body)
        wait_said("nil false nil")
        assert.matches("^handler\n", said())
    end)

    it("leaves its connection to the next request", function()
        start([[
local free = moonloop.event()
app:get("/", function(req) req:after(function() free:wait() say("freed") end) return "one" end)
app:get("/free", function() free:set() return "two" end)
]])
        local connection = site:connect()
        assert.equal("one", connection:request("GET", "/a/").body)
        assert.equal("two", connection:request("GET", "/a/free").body)
        wait_said("freed")
    end)

    it("runs several at once, and one that blocks the loop holds up no answer that came before it", function()
        start([[
local both = moonloop.barrier(2)
app:get("/", function(req)
    for i = 1, 2 do req:after(function() both:wait() say("together", i) end) end
    return "answer"
end)
]])
        site:get("/a/")
        wait_said("together 1")
        wait_said("together 2")
    end)

    -- #stress_cannot: the pipelined request is not there when the first one is answered.
    it("sends a pipelined answer before it begins #stress_cannot", function()
        start([[
local ffi = require("ffi")
ffi.cdef("int usleep(unsigned)")
app:get("/", function(req) req:after(function() ffi.C.usleep(300000) say("blocked") end) return "answer" end)
]])
        local connection = site:connect()
        connection:send(("GET /a/ HTTP/1.1\r\nHost: x\r\n\r\n"):rep(2))
        assert.equal("answer", connection:read_response().body)
        assert.equal("answer", connection:read_response().body)
        assert.is_nil(said():find("blocked"))
    end)

    it("logs what one raises with traceback and request, and runs the others", function()
        start([[
app:get("/", function(req)
    req:after({ name = "mail" }, function() error("no such mailbox") end)
    req:after(function() moonloop.sleep(0) moonloop.spawn(function() moonloop.log.info("from a child") end):wait() end)
    return req.id
end)
]])
        local id = site:get("/a/").body
        local line = log_line("after mail failed: apps/a.lua:5: no such mailbox")
        for _, field in ipairs({ "request_id=" .. id, "app=a", "route=/a/", 'job="after mail"' }) do
            assert.truthy(line:find(field, 1, true), line)
        end
        site:wait_log("spawned at apps/a.lua:5")
        assert.truthy(log_line("from a child"):find("request_id=" .. id, 1, true))
    end)

    it("closes req and res before: their use says so, what was read before is there", function()
        start([[
app:get("/{name}", function(req, res)
    local name = req.params.name
    req:after(function() say(name, req.params.name, tostring(req.cancelled)) res:write("x") end)
    req:after(function() say(pcall(function() return req.method end) and "?" or "method is closed") end)
    req:after(function() req:after(print) end)
    return "answer"
end)
]])
        site:get("/a/ada")
        log_line("the request is finished: its req and res cannot be used any more")
        wait_said("ada ada true")
        wait_said("method is closed")
        process.wait_for("two failures", function()
            return select(2, site:log():gsub("after failed: the request is finished", "")) == 2
        end)
    end)

    it("does not run when the handler fails, and the log says so; it does after moonloop.abort", function()
        start([[
app:get("/fails", function(req) req:after(function() say("never") end) error("oops") end)
app:get("/aborts", function(req) req:after(function() say("aborted") end) moonloop.abort(404, "no") end)
app:get("/bad", function(req) req:after(function() say("never") end) return print end)
]])
        assert.equal(500, site:get("/a/fails").status)
        assert.truthy(log_line("after was cut off: the handler of its request failed"):find("route=/a/fails", 1, true))
        assert.equal(500, site:get("/a/bad").status)
        assert.equal(404, site:get("/a/aborts").status)
        wait_said("aborted")
        assert.is_nil(said():find("never"))
    end)

    it("runs for the answer of on_error", function()
        start([[
app:on_error(function(err, req) req:after(say, "from on_error", req.id) return "sorry", 500 end)
app:get("/", function(req) req:after(say, "from the handler") error("oops") end)
]])
        assert.equal("sorry", site:get("/a/").body)
        wait_said("from on_error")
        assert.is_nil(said():find("from the handler"))
    end)

    it("does not run when the client has gone before the answer", function()
        start([[
app:get("/", function(req) req:after(function() say("never") end) say("waits") moonloop.sleep(30) end)
]])
        local connection = site:connect()
        connection:send("GET /a/ HTTP/1.1\r\nHost: x\r\n\r\n")
        wait_said("waits")
        connection:close()
        log_line("after was cut off: the client has gone before the answer")
        assert.is_nil(said():find("never"))
    end)

    it("runs after the end of a streamed answer", function()
        start([[
app:get("/", function(req, res)
    req:after(say, "after")
    res:write("one ") say("writes") moonloop.sleep(0.05) res:write("two") say("wrote")
end)
]])
        assert.equal("one two", site:get("/a/").body)
        wait_said("after")
        assert.equal("writes\nwrote\nafter\n", said())
    end)

    it("is bound by its own timeout, not by the request's", function()
        start([[
app:get("/", { timeout = 0.1 }, function(req)
    req:after(function() moonloop.sleep(0.3) say("slept") end)
    req:after({ timeout = 0.05, name = "short" }, moonloop.sleep, 10)
    return "answer"
end)
]])
        assert.equal(200, site:get("/a/").status)
        wait_said("slept")
        log_line("after short failed: the deadline of 0.05 s has passed")
    end)

    it("is limited for each app: beyond max_background it raises full, which answers 503", function()
        start([[
local free = moonloop.event()
app:get("/", function(req) req:after(free.wait, free) return "ok" end)
app:get("/code", function(req) local _, err = pcall(req.after, req, print) return err.code end)
app:get("/free", function() free:set() return "freed" end)
]], { app_options = "{ max_background = 2 }" })
        assert.equal(200, site:get("/a/").status)
        assert.equal(200, site:get("/a/").status)
        assert.equal(503, site:get("/a/").status)
        assert.equal("full", site:get("/a/code").body)
        log_line("2 jobs of app a are under way, which is the limit (max_background)")
        site:get("/a/free")
        process.wait_for("a place", function() return site:get("/a/").status == 200 end)
    end)

    it("refuses what is no function and options that it does not know, with the place", function()
        start([[
app:get("/nothing", function(req) req:after() end)
app:get("/table", function(req) req:after({ timeot = 5 }, print) end)
app:get("/options", function(req) req:after({ timeout = 5 }, "no") end)
app:get("/seconds", function(req) req:after({ timeout = -1 }, print) end)
]])
        for target, text in pairs({
            nothing = "apps/a.lua:4: req:after: expected a function, or options and a function, got a nil",
            table = "apps/a.lua:5: req:after: unknown option timeot; did you mean timeout?",
            options = "apps/a.lua:6: req:after: expected a function, got a string",
            seconds = "apps/a.lua:7: req:after: option timeout: expected 0 to 31622400 seconds, got -1",
        }) do
            assert.equal(500, site:get("/a/" .. target).status)
            site:wait_log(text)
        end
    end)

    it("runs on a thread when its handler did", function()
        start([[
local ffi = require("ffi")
ffi.cdef("long syscall(long, ...); int getpid(void);")
local function on_loop() return tonumber(ffi.C.syscall(186)) == ffi.C.getpid() end
app:get("/", { run = "thread" }, function(req)
    req:after(function(word, number)
        moonloop.log.info("from the thread")
        say(word, number, "on the loop:", tostring(on_loop()))
    end, "hello", 123)
    return tostring(on_loop())
end)
app:get("/fails", { run = "thread" }, function(req) req:after(say, "never") error("oops") end)
]])
        assert.equal("false", site:get("/a/").body, site:log())
        wait_said("hello 123 on the loop: false")
        assert.matches("request_id=%x+ .*route=/a/", log_line("from the thread") .. " ")
        assert.equal(500, site:get("/a/fails").status)
        assert.is_nil(said():find("never"))
    end)

    it("works for apps that a spec calls in its own process", function()
        local dir = process.directory()
        process.write(dir .. "/b.lua", [[
local app = require("moonloop").app()
local ran = {}
app:get("/", function(req) req:after(table.insert, ran, req.query.n) return "answer" end)
app:get("/ran", function() return table.concat(ran, " ") end)
return app
]])
        local client = testing.client(dir)
        assert.equal("answer", client:get("/b/?n=1").text)
        assert.equal("answer", client:get("/b/?n=2").text)
        assert.equal("1 2", client:get("/b/ran").text)
        client:close()
    end)
end)
