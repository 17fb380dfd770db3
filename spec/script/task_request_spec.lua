--- Tasks of requests, through a real server: deadlines, clients that leave, children, what the log tells.

local server = require("spec.support.server")

local APP = [[
local moonloop = require("moonloop")
local app = moonloop.app()

local function forever(name)
    local ok, err = pcall(moonloop.sleep, 1000)
    moonloop.log.info(name .. " ended: " .. (ok and "slept" or err.code .. ": " .. err.message))
    error(err, 0)
end

app:get("/quick", function() return "quick" end)
app:get("/slow", { timeout = 0.2 }, function() forever("slow") end)
app:get("/deep", { timeout = 0.2 }, function()
    moonloop.gather(function() forever("deep child") end, function() moonloop.timeout(500, forever, "deep inner") end)
end)
app:get("/left", function() moonloop.log.info("left began") forever("left") end)
app:get("/parent", function()
    moonloop.spawn(forever, "child")
    moonloop.sleep(0)
    return "parent is done"
end)
local function culprit() error("the child broke") end
app:get("/failing", function() moonloop.gather(function() culprit() end) end)
app:get("/unseen", function()
    moonloop.spawn(function() culprit() end)
    moonloop.sleep(0.01)
    return "fine"
end)
app:get("/stubborn", function()
    moonloop.log.info("stubborn began")
    moonloop.shield(moonloop.sleep, 1000)
end)
return app
]]

describe("the task of a request", function()
    local site
    setup(function()
        site = server.start({ apps = { ["t.lua"] = APP }, options = { "--workers", "1", "--graceful-timeout", "1" } })
    end)
    teardown(server.clean)

    it("is answered 504 at the deadline of its route, and its wait is ended", function()
        assert.equal(504, site:get("/t/slow").status)
        site:wait_log("slow ended: timeout")
    end)

    it("takes its children with it at the deadline, however deep they wait", function()
        assert.equal(504, site:get("/t/deep").status)
        site:wait_log("deep child ended: timeout")
        site:wait_log("deep inner ended: timeout")
    end)

    it("is cancelled when its client leaves", function()
        local connection = site:connect()
        connection:send("GET /t/left HTTP/1.1\r\nHost: x\r\n\r\n")
        site:wait_log("left began")
        connection:close()
        site:wait_log("left ended: cancelled: the client has gone")
    end)

    it("ends the children that nobody waited for", function()
        assert.equal("parent is done", site:get("/t/parent").body)
        site:wait_log("child ended: cancelled: the task that spawned this one has ended")
    end)

    it("fails with the traceback of the child that failed, in its log", function()
        assert.equal(500, site:get("/t/failing").status)
        local log = site:wait_log("the child broke")
        assert.matches("in function 'culprit'", log)
        assert.matches("spawned at [^\n]*t%.lua:%d+", log)
    end)

    it("answers in spite of a failure that nobody waited for, which is logged with the request", function()
        assert.equal("fine", site:get("/t/unseen").body)
        local log = site:wait_log("nobody waited for it")
        assert.matches("nobody waited for it: [^\n]*the child broke[^\n]* request_id=", log)
    end)

    it("does not keep the server from stopping when it is shielded for ever", function()
        local connection = site:connect()
        connection:send("GET /t/stubborn HTTP/1.1\r\nHost: x\r\n\r\n")
        site:wait_log("stubborn began")
        local how, code = site:stop()
        connection:close()
        assert.same({ "exited", 0 }, { how, code })
    end)
end)
