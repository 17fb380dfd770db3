--- What tasks do to each other, through a real server: requests that meet, clients that leave, deadlines.

local process = require("spec.support.process")
local server = require("spec.support.server")

local APP = [[
local moonloop = require("moonloop")
local app = moonloop.app()

local slots = moonloop.semaphore(1, { name = "slots", queue = 2 })
local lamp = moonloop.mutex({ name = "lamp" })
local jobs = moonloop.channel(0, { name = "jobs" })
local go = moonloop.event()
local loads, callers = 0, 0

app:get("/counts", function()
    return { waiting = slots.waiting, available = slots.available, receiving = jobs.receiving,
        loads = loads, callers = callers }
end)
app:get("/inside", function()
    local _, err = moonloop.try(slots.with, slots, moonloop.sleep, 1000)
    if err.code == "full" then
        moonloop.abort(503, err.message)
    end
    error(err, 0)
end)
app:get("/late", { timeout = 0.1 }, function() slots:acquire() end)
app:get("/recv", function() return jobs:recv() end)
app:get("/send/{value}", function(req) jobs:send(req.params.value) return "sent" end)
app:get("/forgets", function() lamp:lock() return "locked" end)
app:get("/shared", function()
    callers = callers + 1
    return moonloop.singleflight("answer", function()
        loads = loads + 1
        return go:wait()
    end)
end)
app:get("/activity", function() return require("moonloop.activity").list() end)
app:get("/go", function() go:set("the answer") return "went" end)
return app
]]

describe("requests that meet", function()
    local site
    setup(function()
        site = server.start({ apps = { ["s.lua"] = APP }, options = { "--workers", "1" } })
    end)
    teardown(server.clean)

    local function begin(path)
        local connection = site:connect()
        connection:send("GET /s" .. path .. " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        return connection
    end

    local function wait_counts(name, count)
        process.wait_for(name .. " to be " .. count, function()
            return site:get("/s/counts").body:find(('"%s":%d[,}]'):format(name, count)) ~= nil
        end)
    end

    it("hand values from one to the other", function()
        local receiver = begin("/recv")
        wait_counts("receiving", 1)
        assert.equal("sent", site:get("/s/send/hello").body)
        assert.equal("hello", receiver:read_response().body)
    end)

    it("give up their places when their clients leave, and at their deadlines", function()
        local first = begin("/inside")
        wait_counts("available", 0)
        local second, third = begin("/inside"), begin("/inside")
        wait_counts("waiting", 2)
        local refused = site:get("/s/inside")
        assert.equal(503, refused.status)
        assert.matches("2 tasks wait for the semaphore slots already", refused.body)
        second:close()
        wait_counts("waiting", 1)
        third:close()
        wait_counts("waiting", 0)
        assert.equal(504, site:get("/s/late").status)
        wait_counts("waiting", 0)
        local heir = begin("/inside")
        wait_counts("waiting", 1)
        first:close() -- its permit goes to the one that waits
        wait_counts("waiting", 0)
        wait_counts("available", 0)
        heir:close()
        wait_counts("available", 1)
    end)

    it("are listed with what this worker has under way", function()
        local receiver = begin("/recv")
        wait_counts("receiving", 1)
        local rows = site:get("/s/activity").body
        assert.truthy(rows:find('"name":"jobs"', 1, true) and rows:find('"detail":"1 wait"', 1, true), rows)
        receiver:close()
        wait_counts("receiving", 0)
    end)

    it("do not keep a mutex that a handler forgot to unlock, which the log tells", function()
        assert.equal("locked", site:get("/s/forgets").body)
        site:wait_log("has ended holding the mutex lamp, which is unlocked now: use mutex:with(fn)")
        assert.equal("locked", site:get("/s/forgets").body)
    end)

    it("share a run that outlives the one who began it", function()
        local first = begin("/shared")
        wait_counts("callers", 1)
        local second = begin("/shared")
        wait_counts("callers", 2)
        first:close()
        assert.equal("went", site:get("/s/go").body)
        assert.equal("the answer", second:read_response().body)
        wait_counts("loads", 1)
    end)
end)
