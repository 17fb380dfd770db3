local cjson = require("cjson")
local examples = require("spec.support.examples")
local process = require("spec.support.process")
local server = require("spec.support.server")
local socket = require("socket")

--- Number of the first line with that text; nil when there is none.
local function place(events, text)
    for i, event in ipairs(events) do
        if event:find(text, 1, true) then
            return i
        end
    end
end

describe("apps/after.lua", function()
    after_each(server.clean)

    local function log_of(site)
        return cjson.decode(site:get("/after/log").body)
    end

    it("answers at once, then runs both jobs at the same time", function()
        local site = examples.serve({ "after.lua" })
        local began = socket.gettime()
        local answer = cjson.decode(site:get("/after/?unit=0.1").body)
        local answered = socket.gettime() - began
        assert.is_true(answered < 0.25, answered)
        assert.is_true(answer.answered_after < 0.1, answer.answered_after)
        process.wait_for("the longer job to end", function()
            return place(log_of(site), "job1 has ended")
        end)
        local took = socket.gettime() - began
        assert.is_true(took > 0.9 and took < 1.4, took) -- one after the other is 1.5 s
        local events = log_of(site)
        assert.equal(1, place(events, "the handler returns"))
        assert.truthy(place(events, answer.request .. " job2 begins with hello, 123"))
        assert.is_true(place(events, "job2 begins") < place(events, "job2 has ended"))
        assert.is_true(place(events, "job1 begins") < place(events, "job2 has ended"))
        assert.is_true(place(events, "job2 has ended") < place(events, "job1 has ended"))
    end)

    it("refuses a time that its jobs could not sleep", function()
        local site = examples.serve({ "after.lua" })
        for _, unit in ipairs({ "-1", "abc", "nan", "1e99" }) do
            assert.equal(400, site:get("/after/?unit=" .. unit).status)
        end
    end)

    it("is waited for when the server stops", function()
        local site = examples.serve({ "after.lua" })
        local answer = cjson.decode(site:get("/after/?unit=0.1").body)
        local began = socket.gettime()
        local how, code = site:stop()
        assert.same({ "exited", 0 }, { how, code })
        assert.is_true(socket.gettime() - began > 0.5)
        local line = site:log():match("[^\n]*job1 has ended[^\n]*")
        assert.truthy(line:find("request_id=" .. answer.request .. " app=after route=/after/", 1, true), line)
    end)
end)
