local browser = require("spec.support.browser")
local examples = require("spec.support.examples")
local json = require("cjson")
local server = require("spec.support.server")

describe("apps/patterns", function()
    local site

    setup(function()
        site = examples.serve({ "patterns/" }, { options = { "--workers", "2", "--threads", "4" } })
    end)
    teardown(server.clean)

    ---What happened: the story, and its bars by name.
    local function run(name)
        local answer = site:get("/patterns/run/" .. name)
        assert.equal(200, answer.status, answer.body)
        local story = json.decode(answer.body)
        local bars = {}
        for _, bar in ipairs(story.bars) do
            bars[bar.name] = bars[bar.name] or {}
            table.insert(bars[bar.name], bar)
        end
        return story, bars
    end

    local function overlap(a, b)
        return a.from < b.to and b.from < a.to
    end

    ---The most bars at one moment.
    local function most_at_once(bars)
        local most = 0
        for _, bar in ipairs(bars) do
            local count = 0
            for _, other in ipairs(bars) do
                count = count + ((other.from <= bar.from and bar.from < other.to) and 1 or 0)
            end
            most = math.max(most, count)
        end
        return most
    end

    local function outcomes(bars)
        local list = {}
        for _, bar in ipairs(bars) do
            list[#list + 1] = bar.outcome
        end
        return list
    end

    it("has a page that runs each, of one piece", function()
        local page = site:get("/patterns/")
        assert.equal("text/html; charset=utf-8", page.headers["content-type"])
        assert.is_nil(page.body:find("<script src"))
        local count = 0
        for name in page.body:gmatch('class="card pattern" id="([%w_]+)"') do
            count = count + 1
            assert.truthy(examples.read("apps/patterns/" .. name .. ".lua"))
        end
        assert.equal(18, count)
        assert.equal(404, site:get("/patterns/run/nothing").status)
    end)

    it("draws what happened, in a browser", function()
        local html = browser.dom(("http://%s:%d/patterns/#race"):format(site.host, site.port))
        local card = html:match('id="race".-</section>')
        local _, done = card:gsub('<rect[^>]- class="done"', "")
        local _, cancelled = card:gsub('<rect[^>]- class="cancelled"', "")
        assert.same({ 1, 2 }, { done, cancelled })
        assert.matches("memory was first", card)
    end)

    it("sequential: one after the other", function()
        assert.equal(1, most_at_once(run("sequential").bars))
    end)

    it("fan-out: all at once", function()
        assert.equal(3, most_at_once(run("fan_out").bars))
    end)

    it("bounded pool: nine, never more than three at once", function()
        local story = run("bounded_pool")
        assert.equal(9, #story.bars)
        assert.equal(3, most_at_once(story.bars))
    end)

    it("race: the first decides, the others are cancelled in that moment", function()
        local story, bars = run("race")
        assert.equal("memory was first (number 2)", story.result)
        assert.same({ "cancelled", "cancelled" }, { bars.disk[1].outcome, bars.network[1].outcome })
    end)

    it("hedged request: the second is asked late and wins", function()
        local story, bars = run("hedged_request")
        assert.equal("server 2", story.result)
        assert.equal("cancelled", bars["server 1"][1].outcome)
        assert.is_true(bars["server 2"][1].from >= 0.09)
    end)

    it("first of mirrors: a failure does not win", function()
        local story, bars = run("first_of_mirrors")
        assert.equal("mirror in Rome", story.result)
        assert.equal("failed", bars["mirror in Oslo"][1].outcome)
        assert.equal("cancelled", bars["mirror in Lima"][1].outcome)
    end)

    it("pipeline: the stages work at the same time, the order is kept", function()
        local story, bars = run("pipeline")
        assert.equal("stored in order: 1, 2, 3, 4", story.result)
        assert.is_true(overlap(bars.fetch[2], bars.resize[1]))
        assert.same({ 4, 4, 4 }, { #bars.fetch, #bars.resize, #bars.store })
    end)

    it("fan-in: everything from all, in the order of each", function()
        local story = run("fan_in")
        assert.equal(9, #story.notes)
        for source = 1, 3 do
            assert.matches(source .. "%.1.*" .. source .. "%.2.*" .. source .. "%.3", story.result)
        end
    end)

    it("producer and consumers: the producer waits for them", function()
        local story, bars = run("producer_consumer")
        local first, second = story.result:match("^(%d) and (%d) jobs$")
        assert.equal(8, tonumber(first) + tonumber(second))
        assert.is_true(bars.producer[8].from > bars["consumer 1"][1].to)
    end)

    it("publish and subscribe: both hear all in order, the publisher waits for nobody", function()
        local story, bars = run("publish_subscribe")
        assert.equal("quick heard abcd, slow heard abcd", story.result)
        assert.is_true(bars.publisher[5].from < bars["slow subscriber"][4].from)
    end)

    it("rate limit: three at once, then one by one", function()
        local story = run("rate_limit")
        assert.equal(10, #story.bars)
        assert.is_true(story.bars[3].from < 0.04)
        assert.is_true(story.bars[10].from >= 0.3) -- seven more at twenty a second
    end)

    it("retry: fails twice, waits longer each time, succeeds", function()
        local story = run("retry")
        assert.equal("attempt 3", story.result)
        assert.same({ "failed", "failed", "done" }, outcomes(story.bars))
    end)

    it("circuit breaker: opens after three failures, refuses, closes again", function()
        local story = run("circuit_breaker")
        assert.matches("now it is closed$", story.result)
        assert.is_true(tonumber(story.result:match("^%d+")) >= 1)
        assert.same({ "failed", "failed", "failed", "done" }, { unpack(outcomes(story.bars), 1, 4) })
    end)

    it("single-flight: one fetch for six", function()
        local story, bars = run("single_flight")
        assert.equal("6 answers, 1 fetch", story.result)
        assert.equal(1, #bars.fetch)
    end)

    it("cache stampede: never two fetches at once", function()
        local story = run("cache_stampede")
        assert.equal(1, most_at_once(story.bars))
        assert.is_true(#story.bars >= 2 and #story.bars <= 5, story.result)
    end)

    it("periodic with leader: one beat at a time, in one worker", function()
        local story = run("periodic_with_leader")
        assert.is_true(#story.notes >= 4)
        for i = 2, #story.notes do
            assert.is_true(tonumber(story.notes[i].text:match("%d+")) > tonumber(story.notes[i - 1].text:match("%d+")))
        end
    end)

    it("saga: what was booked is cancelled, last first", function()
        local story = run("saga")
        local names = {}
        for i, bar in ipairs(story.bars) do
            names[i] = bar.name
        end
        assert.same({ "book flight", "book hotel", "book car", "cancel hotel", "cancel flight" }, names)
        assert.equal("nothing is booked: card refused", story.result)
    end)

    it("ten by seven: seventy pieces in two processes", function()
        local story = run("ten_by_seven")
        assert.equal("70 sub-tasks", story.result)
        assert.is_true(most_at_once(story.bars) <= 2)
    end)
end)
